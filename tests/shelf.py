"""Passages and searches for the recipes, without a store."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

from rag.base.ids import chunk_id
from rag.base.types import Candidate, Chunk, Passage


class Shelf:
    """Cuts a document into candidates at the given offsets."""

    def candidates(self, document: str, text: str, cuts: Sequence[int], *, version: str = "v1") -> list[Candidate]:
        bounds = [0, *cuts, len(text)]
        return [
            Candidate(
                passage=Passage(
                    chunk=Chunk(
                        id=chunk_id(document, version, ordinal),
                        document_id=document,
                        ordinal=ordinal,
                        text=text[start:stop],
                        start=start,
                        stop=stop,
                        n_tokens=len(text[start:stop].split()),
                    ),
                    uri=f"file:///{document}",
                    title=document.title(),
                    version=version,
                    format="text",
                    updated_at=datetime(2026, 1, 1, tzinfo=UTC),
                ),
                score=1.0 / (1 + ordinal),
                origin="fused",
            )
            for ordinal, (start, stop) in enumerate(itertools.pairwise(bounds))
        ]
