"""Passages that are repeated: page headers, licence texts, a document and its near duplicate."""

from collections import Counter
from collections.abc import Sequence

from rag.base.text import normalised
from rag.base.types import Candidate


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates in order without those that say what a better one says, white space and letter case aside."""
    # To compare texts whole was a tenth of what a search costs the event loop; few begin and end alike.
    ends = [_ends(candidate.passage.chunk.text) for candidate in candidates]
    n_alike = Counter(ends)
    kept: dict[object, Candidate] = {}
    for candidate, end in zip(candidates, ends, strict=True):
        kept.setdefault(end if n_alike[end] == 1 else _comparable(candidate.passage.chunk.text), candidate)
    return list(kept.values())


def _ends(text: str) -> tuple[str, ...]:
    """The first word and the last."""
    return tuple(_comparable(word) for word in (*text.split(None, 1)[:1], *text.rsplit(None, 1)[-1:]))


def _comparable(text: str) -> str:
    return normalised(text).casefold()
