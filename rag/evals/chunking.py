"""How well chunks of some size carry what questions ask for: reference spans held against what search finds.

The measure is that of Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval" (Chroma, 2024): of the tokens
of the reference spans, how many are in the chunks found (recall), and of the tokens found, how many are references
(precision). We count the embedder's tokens where they counted characters, and search with both legs, fused.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ingest.chunk import chunk
from ingest.config import IngestConfig
from ingest.draft import Draft, document_of
from rag.base.errors import ConfigError
from rag.base.types import Chunk, Document

TENANT: Final = "eval"
N_CHUNKS: Final = 5
CONTEXT_TOKENS: Final = 1000
"""Both ways to say how much of what was found is read: so many chunks, or as many as fit."""

Span = tuple[int, int]
"""Start and stop in characters of a document's text."""


class Asked(Struct, frozen=True, kw_only=True):
    """A question, the document that answers it and the spans of that document which do."""

    question: str
    document: str
    references: tuple[Span, ...]


class Found(Struct, frozen=True, kw_only=True):
    """A slice of a document, as search gave it."""

    document: str
    span: Span


class Kept(Struct, frozen=True, kw_only=True):
    """Of the reference tokens the share that was found, and of the tokens found the share that is reference."""

    recall: float
    precision: float


class Setting(Struct, frozen=True, kw_only=True):
    """Chunks of at most `tokens`, of which `overlap` repeat the end of the chunk before."""

    tokens: int
    overlap: int = 0


class Scores(Struct, frozen=True, kw_only=True):
    """The mean over all questions."""

    setting: Setting
    chunks: int
    mean_tokens: float
    first_chunks: Kept
    one_context: Kept


class _Reference(Struct):
    start_index: int
    end_index: int


def read_asked(folder: Path) -> list[Asked]:
    """The questions of FOLDER/questions_df.csv. Raises ConfigError for a folder without it or a row that is none."""
    file = folder / "questions_df.csv"
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return [_asked(row) for row in csv.DictReader(stream)]
    except (OSError, KeyError, msgspec.DecodeError) as fault:
        raise ConfigError(f"{file} holds no questions with references and corpus_id: {fault}") from fault


def _asked(row: dict[str, str]) -> Asked:
    references = msgspec.json.decode(row["references"], type=list[_Reference])
    spans = tuple((each.start_index, each.end_index) for each in references)
    return Asked(question=row["question"], document=row["corpus_id"], references=spans)


def read_documents(folder: Path) -> list[Document]:
    """FOLDER/*.md by name; the id of a document is for a store, its uri the name that questions give it."""
    files = sorted(folder.glob("*.md"))
    if not files:
        raise ConfigError(f"there is no Markdown in {folder}")
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    drafts = [Draft(uri=name, text=text, format="markdown") for name, text in texts.items()]
    return [document_of(draft, TENANT, "") for draft in drafts]


class TokenMap:
    """Where the tokens of a text start, so that those within a span can be counted."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        self.starts: NDArray[np.int64] = np.fromiter((start for start, _ in offsets), np.int64, len(offsets))

    def within(self, spans: Sequence[Span]) -> set[int]:
        """The tokens that start within one of the spans, by number."""
        return {int(at) for start, stop in spans for at in range(*np.searchsorted(self.starts, (start, stop)))}

    def before(self, start: int, n_tokens: int) -> int:
        """The character at which the `n_tokens` before `start` begin."""
        return int(self.starts[max(0, int(np.searchsorted(self.starts, start)) - n_tokens)]) if n_tokens else start


def cut(
    document: Document, tokenizer: Tokenizer, config: IngestConfig, setting: Setting, tokens: TokenMap
) -> list[Chunk]:
    """The chunks of a document. With an overlap they are cut smaller and each begins within the one before."""
    smaller = replace(config, chunk_tokens=setting.tokens - setting.overlap)
    return [
        replace(
            each,
            start=(start := tokens.before(each.start, setting.overlap)),
            text=document.text[start : each.stop],
        )
        for each in chunk(document, tokenizer, smaller)
    ]


def read_within(found: Sequence[Found], tokens: Mapping[str, TokenMap], limit: int = CONTEXT_TOKENS) -> Iterator[Found]:
    """The first of what was found that fit a context of `limit` tokens together; one that does not fit ends it."""
    n_tokens = 0
    for each in found:
        n_tokens += len(tokens[each.document].within([each.span]))
        if n_tokens > limit:
            return
        yield each


def kept(asked: Asked, read: Sequence[Found], tokens: Mapping[str, TokenMap]) -> Kept:
    """What the slices that are read hold of the references. What stands in two of them counts as read twice."""
    wanted = tokens[asked.document].within(asked.references)
    own = tokens[asked.document].within([each.span for each in read if each.document == asked.document])
    n_read = sum(len(tokens[each.document].within([each.span])) for each in read)
    n_kept = len(wanted & own)
    return Kept(recall=n_kept / len(wanted) if wanted else 0.0, precision=n_kept / n_read if n_read else 0.0)


def mean_of(scores: Sequence[Kept]) -> Kept:
    """The mean of each."""
    return Kept(recall=fmean(each.recall for each in scores), precision=fmean(each.precision for each in scores))


def scored(
    setting: Setting,
    chunks: Sequence[Chunk],
    answers: Sequence[tuple[Asked, Sequence[Found]]],
    tokens: Mapping[str, TokenMap],
) -> Scores:
    """What one setting comes to, given what was found for each question, best first."""
    return Scores(
        setting=setting,
        chunks=len(chunks),
        mean_tokens=fmean(each.n_tokens for each in chunks) + setting.overlap,
        first_chunks=mean_of([kept(asked, found[:N_CHUNKS], tokens) for asked, found in answers]),
        one_context=mean_of([kept(asked, [*read_within(found, tokens)], tokens) for asked, found in answers]),
    )
