"""How much one request may ask for, and for how long, and how many of them there may be."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

MAX_QUESTION_CHARS = 8_000
MAX_TURN_CHARS = 32_000
MAX_HISTORY_TURNS = 50
MAX_TOP_K = 50
MAX_ANSWER_TOKENS = 8_192
MAX_PAGE = 200
MAX_FILTERS = 32
"""What the published interface promises to accept, the same on every server."""

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server grants one request; to be set to what its machine can bear."""

    max_body_bytes: Count = 1024 * 1024
    max_document_bytes: Count = 64 * 1024 * 1024
    max_held_bytes: Count = 256 * 1024 * 1024
    """Of large bodies together; the others wait in their clients. Documents of them take about three times as much."""
    max_in_flight: Count = 128
    max_in_flight_per_tenant: Count | None = None
    degrade_wait_s: Seconds = 1.0
    """From this wait on searches rerank less, then not at all."""
    max_wait_s: Seconds = 5.0
    """A question that would wait longer for those before it is refused."""
    max_gateway_body_bytes: Count = 32 * 1024 * 1024
    """For the routes of model APIs, whose bodies hold whole conversations with their images."""
    body_timeout_s: Seconds = 300.0
    """How long a client may take to send its body; one that stops in the middle would hold its connection for ever."""
    request_timeout_s: Seconds = 30.0
    gateway_timeout_s: Seconds = 600.0
    """For a call of a model through the gateway, which has timers of its own."""
    ingest_timeout_s: Seconds = 300.0
    heartbeat_s: Seconds = 10.0
    linger_s: Annotated[float, Meta(ge=0)] = 0.0
    """How long a server that was told to stop still accepts connections, so that a load balancer sees it unready."""
    drain_s: Seconds = 10.0
    """How long requests in flight may then take to end."""


def patient(limits: Limits) -> Limits:
    """The same for measuring: everyone is answered with full effort, however late."""
    return replace(limits, max_in_flight=1_000_000, degrade_wait_s=1e9, max_wait_s=1e9)
