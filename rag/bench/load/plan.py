"""What a load is: requests, how they arrive, and which answers are expected."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from rag.base.errors import ConfigError


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request; a body is JSON text."""

    path: str
    method: str = "POST"
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def encoded(self, host: str) -> bytes:
        """As it goes over the wire."""
        body = self.body.encode()
        fields = {"host": host, "content-type": "application/json", "content-length": str(len(body))}
        lines = [f"{name}: {value}\r\n" for name, value in (*fields.items(), *self.headers)]
        return f"{self.method} {self.path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1") + body


class Closed(Struct, frozen=True, kw_only=True, tag_field="kind", tag="closed", forbid_unknown_fields=True):
    """So many clients, each with one request in flight: a slow server is asked less."""

    clients: Annotated[int, Meta(ge=1)]


class Open(Struct, frozen=True, kw_only=True, tag_field="kind", tag="open", forbid_unknown_fields=True):
    """Requests at random moments (Poisson), at this mean rate whether or not the earlier ones have been answered."""

    per_s: Annotated[float, Meta(gt=0)]
    max_connections: Annotated[int, Meta(ge=1)] = 1024


Arrivals = Closed | Open


class Lane(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of traffic, with figures of its own.

    A reply is good when its status is 200 and `contains` is in it; one with a status of `refusals` is refused, which is
    counted and no error. The first token is there when `first` is, or any byte of the body.
    """

    name: str
    requests: Annotated[tuple[Request, ...], Meta(min_length=1)]
    arrivals: Arrivals
    contains: str = ""
    first: str = ""
    refusals: tuple[int, ...] = ()


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A load on one server. What begins in the first `warm_up_s` is not counted. Equal plans draw equal numbers."""

    host: str
    port: int
    lanes: Annotated[tuple[Lane, ...], Meta(min_length=1)]
    seconds: Annotated[float, Meta(gt=0)]
    warm_up_s: Annotated[float, Meta(ge=0)] = 0.0
    timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    seed: int = 0


def read_plan(data: bytes) -> Plan:
    """The plan in JSON. Raises ConfigError."""
    try:
        return msgspec.json.decode(data, type=Plan)
    except msgspec.DecodeError as error:
        raise ConfigError(f"this is no plan of a load: {error}") from error
