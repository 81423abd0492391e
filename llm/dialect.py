"""What one server understands of the request: begins with all of it and gives up what the server complains about."""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from llm.failures import WireError


class Dialect(Struct, frozen=True, kw_only=True):
    """Each field is a habit that some server lacks; a wire that never had it pays no attention."""

    stream_options: bool = True
    max_completion_tokens: bool = False
    temperature: bool = True


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
