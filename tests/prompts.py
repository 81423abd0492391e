"""Builds prompts and sources for tests of models that answer."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rag.base.text import normalised
from rag.base.types import Candidate, Chunk, LegScore, Passage, Prompt, Source, Turn


def a_source(marker: int, text: str, *, title: str = "", legs: Sequence[LegScore] = ()) -> Source:
    """A source of one chunk that is the whole document."""
    chunk = Chunk(
        id=f"chunk-{marker}", document_id=f"doc-{marker}", ordinal=0, text=text, start=0, stop=len(text), n_tokens=1
    )
    passage = Passage(
        chunk=chunk,
        uri=f"file:///{marker}.txt",
        title=title or f"Document {marker}",
        version="v1",
        format="text",
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    candidate = Candidate(passage=passage, score=1.0 / marker, origin="fused", legs=tuple(legs))
    return Source(
        marker=marker,
        document_id=chunk.document_id,
        uri=passage.uri,
        title=passage.title,
        text=text,
        start=0,
        stop=len(text),
        n_tokens=len(text.split()),
        headings=(),
        candidates=(candidate,),
    )


def a_prompt(question: str, *texts: str | Source, max_tokens: int = 256) -> Prompt:
    """A prompt about the given sources, numbered in order."""
    sources = tuple(
        text if isinstance(text, Source) else a_source(marker, text) for marker, text in enumerate(texts, start=1)
    )
    listing = "\n".join(f"[{source.marker}] {source.text}" for source in sources)
    messages = (
        Turn(role="system", content="Answer from the sources."),
        Turn(role="user", content=f"{listing}\n\n{question}"),
    )
    return Prompt(
        tenant="acme",
        messages=messages,
        template="answer.v1@test",
        n_tokens=len(normalised(listing).split()) + 20,
        question=question,
        sources=sources,
        max_tokens=max_tokens,
        temperature=0.0,
    )
