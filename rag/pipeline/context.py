"""Which passages a model gets to read: the best ones that fit its budget, merged where they touch."""

from collections.abc import Iterable, Sequence

from rag.base.pages import page_at
from rag.base.text import normalised
from rag.base.types import Candidate, Source

SOURCE_OVERHEAD_TOKENS = 24
"""Marker, title and headings of one source in the prompt, generously."""

CHARS_PER_TOKEN = 10


def choose_context(candidates: Sequence[Candidate], budget_tokens: int) -> tuple[Source, ...]:
    """The sources, numbered from 1 by their best candidate. Never more than `budget_tokens` in all.

    Candidates are taken best first; one that does not fit is passed over, so a short one behind it may still get in.
    Equal texts (headers, licence notes) are taken once. Chunks of one document version that touch or overlap become
    one source without repeated text.
    """
    taken: list[Candidate] = []
    seen: set[str] = set()
    left = budget_tokens
    for candidate in candidates:
        text = normalised(candidate.passage.chunk.text)
        cost = _tokens(candidate) + SOURCE_OVERHEAD_TOKENS
        if text and text not in seen and cost <= left:
            seen.add(text)
            taken.append(candidate)
            left -= cost
    runs = _merged(taken)
    rank = {id(candidate): place for place, candidate in enumerate(taken)}
    runs.sort(key=lambda run: min(rank[id(candidate)] for candidate in run))
    return tuple(_source(marker, run, rank) for marker, run in enumerate(runs, start=1))


def _merged(taken: Iterable[Candidate]) -> list[list[Candidate]]:
    """Runs of candidates whose chunks touch or overlap, in text order."""
    runs: list[list[Candidate]] = []
    stop = 0
    for candidate in sorted(taken, key=_place):
        chunk = candidate.passage.chunk
        if runs and _same_text(runs[-1][-1], candidate) and chunk.start <= stop:
            runs[-1].append(candidate)
            stop = max(stop, chunk.stop)
        else:
            runs.append([candidate])
            stop = chunk.stop
    return runs


def _tokens(candidate: Candidate) -> int:
    """What the chunk may cost a model: the embedder's count, or one for ten characters where that is more.

    An embedder's tokenizer may see a single unknown token in a long run of base64; no language model does.
    """
    chunk = candidate.passage.chunk
    return max(chunk.n_tokens, len(chunk.text) // CHARS_PER_TOKEN)


def _place(candidate: Candidate) -> tuple[str, str, int, int]:
    passage = candidate.passage
    return passage.chunk.document_id, passage.version, passage.chunk.start, passage.chunk.stop


def _same_text(one: Candidate, other: Candidate) -> bool:
    return _place(one)[:2] == _place(other)[:2]


def _source(marker: int, run: Sequence[Candidate], rank: dict[int, int]) -> Source:
    first = run[0].passage
    start = stop = first.chunk.start
    text = ""
    for candidate in run:
        chunk = candidate.passage.chunk
        if chunk.stop > stop:
            text += chunk.text[stop - chunk.start :]
            stop = chunk.stop
    return Source(
        marker=marker,
        document_id=first.chunk.document_id,
        uri=first.uri,
        title=first.title,
        text=text,
        start=start,
        stop=stop,
        n_tokens=sum(map(_tokens, run)),
        headings=first.chunk.headings,
        candidates=tuple(sorted(run, key=lambda candidate: rank[id(candidate)])),
        page=page_at(first.chunk.pages, start),
    )
