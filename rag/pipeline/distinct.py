"""Passages that are repeated: page headers, licence texts, a document and its near duplicate."""

from collections.abc import Iterable

from rag.base.text import normalised
from rag.base.types import Candidate


def distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates in order without those that say what a better one says, white space and letter case aside."""
    kept: dict[str, Candidate] = {}
    for candidate in candidates:
        kept.setdefault(normalised(candidate.passage.chunk.text).casefold(), candidate)
    return list(kept.values())
