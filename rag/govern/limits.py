"""How much one request may ask for, and for how long."""

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds that the door enforces before any work is done."""

    max_question_chars: Count = 8_000
    max_history_turns: Count = 50
    max_top_k: Count = 50
    max_answer_tokens: Count = 8_192
    max_body_bytes: Count = 1024 * 1024
    max_document_bytes: Count = 64 * 1024 * 1024
    max_page: Count = 200
    request_timeout_s: Seconds = 30.0
    ingest_timeout_s: Seconds = 300.0
    heartbeat_s: Seconds = 10.0
    drain_s: Seconds = 10.0
