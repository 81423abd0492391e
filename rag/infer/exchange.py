"""A request over HTTP and its reply, whatever carries them."""

from typing import Protocol, Self

import httpx
from msgspec import Struct


class Origin(Struct, frozen=True):
    """A server: requests to the same one may share a connection."""

    is_secure: bool
    host: str
    port: int


class Address(Struct, frozen=True):
    """A URL, taken apart once. `authority` is the server as it is to know itself, `target` the path with its query."""

    text: str
    origin: Origin
    authority: str
    target: str

    @classmethod
    def of(cls, url: str) -> Self:
        """The address that a URL means; international names are put into ASCII."""
        read = httpx.URL(url)
        is_secure = read.scheme == "https"
        return cls(
            text=str(read),
            origin=Origin(is_secure, read.raw_host.decode(), read.port or (443 if is_secure else 80)),
            authority=read.netloc.decode(),
            target=read.raw_path.decode(),
        )


class Request(Struct, kw_only=True):
    """A POST. `headers` have lower-case names and need name neither the host nor the length; they may be added to."""

    address: Address
    headers: dict[str, str]
    body: bytes
    connect_timeout_s: float


class Reply(Protocol):
    """A response whose head is here. Close it in any case: before its end that breaks it off, and frees the server."""

    @property
    def status(self) -> int:
        """The status code."""
        ...

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name; several of one name are joined by a comma."""
        ...

    async def next(self) -> bytes | None:
        """All of the body that has arrived since, at least one byte; None at its end. Raises OSError."""
        ...

    async def aclose(self) -> None:
        """No more of it is wanted."""
        ...


class Transport(Protocol):
    """What carries requests. Safe to call concurrently."""

    async def post(self, request: Request) -> Reply:
        """The reply, as soon as its head is here. Raises OSError where there is none."""
        ...


def is_success(reply: Reply) -> bool:
    """Whether the server did what it was asked to."""
    return 200 <= reply.status < 300
