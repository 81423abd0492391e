"""Calls to a Qdrant server: their deadline, their second try, and what their failures mean.

Belongs to `rag.index.qdrant`; imported nowhere else, because qdrant-client takes 0.6 s to import.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
import httpx
from msgspec import Struct
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.context_headers import headers
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from rag.base.errors import BadDependency, DeadlineExceeded, DependencyError, GroundwireError, Unavailable
from rag.telemetry.w3c import outgoing

PAUSES_S: Final = (0.1, 0.5)
"""Before the second and the third try."""

_TRANSIENT: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, 429, 502, 503, 504})
_REFUSED: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, 401, 403})

Result = TypeVar("Result")


class Calls(Struct, frozen=True):
    """Makes calls that may be repeated without harm; ours all may. `timeout_s` bounds a call with all its tries.

    They carry the trace that they belong to, over HTTP and gRPC alike.
    """

    timeout_s: float
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def make(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """What the call gives. Raises Unavailable (after three tries), BadDependency or DeadlineExceeded."""
        try:
            async with asyncio.timeout(self.timeout_s):
                for pause_s in PAUSES_S:
                    try:
                        return await _translated(call)
                    except Unavailable:
                        await self.sleep(pause_s)
                return await _translated(call)
        except TimeoutError as error:
            raise DeadlineExceeded(f"Qdrant did not answer within {self.timeout_s:g} s") from error


async def _translated(call: Callable[[], Awaitable[Result]]) -> Result:
    try:
        with headers(outgoing()):
            return await call()
    except (GroundwireError, TimeoutError):
        raise
    except Exception as error:
        raise failure_of(error) from error


def failure_of(error: Exception) -> DependencyError:
    """What an error of the client means to us. Messages of the server stay in the cause: they may quote documents."""
    if isinstance(error, grpc.aio.AioRpcError):
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded("Qdrant did not answer in time")
        return _refusal(error.code(), error.code().name)
    if isinstance(error, UnexpectedResponse):
        return _refusal(error.status_code, f"HTTP {error.status_code}")
    if isinstance(error, ResourceExhaustedResponse):
        return Unavailable("Qdrant has no capacity now")
    if isinstance(error, ResponseHandlingException):
        return transport_failure(error.source)
    return BadDependency(f"Qdrant's client failed: {type(error).__name__}")


def status_failure(status: int) -> DependencyError:
    """What an HTTP status means to us."""
    return _refusal(status, f"HTTP {status}")


def _refusal(status: object, name: str) -> DependencyError:
    if status in _TRANSIENT:
        return Unavailable(f"Qdrant is not available ({name}); check its url and that it runs")
    if status in _REFUSED:
        return BadDependency(f"Qdrant refused access ({name}); check its API key")
    return BadDependency(f"Qdrant answered with an error ({name}); the log says more")


def transport_failure(source: Exception) -> DependencyError:
    """What it means to us that there was no answer, or none that could be read."""
    if isinstance(source, httpx.TimeoutException):
        return DeadlineExceeded("Qdrant did not answer in time")
    if isinstance(source, httpx.TransportError):
        return Unavailable("Qdrant cannot be reached; check its url and that it runs")
    return BadDependency("Qdrant answered something that its client does not understand")
