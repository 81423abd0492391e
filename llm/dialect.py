"""What one server understands of the request: begins with all of it and gives up what the server complains about."""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET, Struct

from llm.wire import ChatRequest, Message, StreamOptions, WireError
from rag.base.types import Prompt


class Dialect(Struct, frozen=True, kw_only=True):
    """Each field is a habit that some compatible server lacks."""

    stream_options: bool = True
    max_completion_tokens: bool = False
    temperature: bool = True


def request_body(prompt: Prompt, model: str, dialect: Dialect) -> bytes:
    """The JSON body that asks `model` for an answer to `prompt`."""
    limit = prompt.max_tokens
    request = ChatRequest(
        model=model,
        messages=[Message(turn.role, turn.content) for turn in prompt.messages],
        stream_options=StreamOptions() if dialect.stream_options else UNSET,
        max_tokens=UNSET if dialect.max_completion_tokens else limit,
        max_completion_tokens=limit if dialect.max_completion_tokens else UNSET,
        temperature=prompt.temperature if dialect.temperature else UNSET,
    )
    return msgspec.json.encode(request)


def simpler(dialect: Dialect, status: int, error: WireError) -> Dialect | None:
    """The dialect to try next after a 400 or 422 that blames one of its habits; None when it blames something else."""
    if status not in (400, 422):
        return None
    complaint = f"{error.param or ''} {error.message or ''}"
    return next(_without(dialect, complaint), None)


def _without(dialect: Dialect, complaint: str) -> Iterator[Dialect]:
    if dialect.stream_options and "stream_options" in complaint:
        yield msgspec.structs.replace(dialect, stream_options=False)
    if not dialect.max_completion_tokens and "max_completion_tokens" in complaint:
        yield msgspec.structs.replace(dialect, max_completion_tokens=True)
    if dialect.temperature and "temperature" in complaint:
        yield msgspec.structs.replace(dialect, temperature=False)
