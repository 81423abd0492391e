"""A provider under the test's control, for tests of the models behind HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx

from llm.remote import RemoteModel
from rag.base.deadline import Deadline
from rag.base.types import ModelEvent, TextDelta
from tests.prompts import a_prompt

STREAMS = Path(__file__).parent / "llm" / "streams"
PROMPT = a_prompt("When did the embargo begin?", "The embargo began in October 1973.")
ANSWER = "The embargo began in October 1973 [1]."
SSE = {"content-type": "text/event-stream"}

Handler = Callable[[httpx.Request], httpx.Response]


class Upstream(httpx.AsyncByteStream):
    """A response body under the test's control: gives the pieces, then hangs if told to; knows when it was closed."""

    def __init__(self, *pieces: bytes, hangs: bool = False, breaks: Exception | None = None) -> None:
        self.pieces = pieces
        self.hangs = hangs
        self.breaks = breaks
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.breaks:
            raise self.breaks
        if self.hangs:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.is_closed = True


def streaming(*pieces: bytes, headers: dict[str, str] = SSE, **behaviour) -> Handler:
    return lambda _: httpx.Response(200, headers=headers, stream=Upstream(*pieces, **behaviour))


def refusing(
    status: int, error: dict[str, object] | str | None = None, headers: dict[str, str] | None = None
) -> Handler:
    return lambda _: httpx.Response(status, headers=headers, json={"error": error} if error else None)


async def events_of(answering: RemoteModel, within_s: float = 30.0) -> list[ModelEvent]:
    return [event async for event in answering.stream(PROMPT, Deadline.after(within_s))]


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def recorded(name: str, step: int = 100_000) -> list[bytes]:
    """The recording, cut into pieces of `step` bytes."""
    stream = (STREAMS / name).read_bytes()
    return [stream[at : at + step] for at in range(0, len(stream), step)]
