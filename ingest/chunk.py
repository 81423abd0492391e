"""Cuts a document into chunks that fit the embedder and tile the text."""

from collections.abc import Callable, Iterator
from itertools import takewhile

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from ingest.blocks import blocks
from ingest.config import IngestConfig
from ingest.headings import Outline, headings
from ingest.measure import PieceMeter, exact_counts
from rag.base.ids import chunk_id
from rag.base.pages import pages_within
from rag.base.types import Chunk, Document

PLAIN_FORMATS = frozenset({"text", "code", "json", "csv"})
"""Formats whose text is not Markdown; of every other one the parser made Markdown."""

_SECTION_CHARS = 2**15
"""What is cut at a time. The splitter's time grows with the square of a run without sentence ends (280,000 Chinese
characters: 20 s of CPU, measured 2026-07), and an `Encoding` takes hundreds of bytes for each token."""


def chunk(
    document: Document, tokenizer: Tokenizer, config: IngestConfig, has_left: Callable[[], bool] = lambda: False
) -> list[Chunk]:
    """The chunks of a document in order. Concatenated they are its text again; a text without words has none.

    Markdown is cut at headings, then blocks, then sentences (semantic-text-splitter); a section, table or code block
    stays whole where it fits. With the model's special tokens no chunk has more than `config.chunk_tokens`.
    `tokenizer` must neither cut nor pad (`rag.infer.tokens.load_counter`). When who waits `has_left`, which is asked
    between sections, the work ends without a result.
    """
    if not document.text.strip():
        return []
    markdown = document.format not in PLAIN_FORMATS
    outline = Outline(headings(document.text) if markdown else [])
    budget = config.chunk_tokens - tokenizer.num_special_tokens_to_add(is_pair=False)
    sections = takewhile(lambda _: not has_left(), _sections(document.text, outline))
    pieces = [piece for section in sections for piece in _pieces(section, markdown, tokenizer, budget)]
    if has_left():
        return []
    chunks: list[Chunk] = []
    start = 0
    for ordinal, (piece, n_tokens) in enumerate(pieces):
        stop = start + len(piece)
        chunks.append(
            Chunk(
                id=chunk_id(document.id, document.version, ordinal),
                document_id=document.id,
                ordinal=ordinal,
                text=piece,
                start=start,
                stop=stop,
                n_tokens=n_tokens,
                headings=outline.path(document.text, start, stop),
                pages=pages_within(document.pages, start, stop),
            )
        )
        start = stop
    return chunks


def _sections(text: str, outline: Outline) -> Iterator[str]:
    """Slices of bounded length that tile the text, cut at the last heading, blank line, line or blank there is."""
    start = 0
    while len(text) - start > _SECTION_CHARS:
        stop = start + _SECTION_CHARS
        cuts = (
            outline.last_start(stop),
            text.rfind("\n\n", start, stop) + 2,
            text.rfind("\n", start, stop) + 1,
            text.rfind(" ", start, stop) + 1,
        )
        # A cut in the first half would make many small sections of a text with few headings.
        cut = next((cut for cut in cuts if cut > start + _SECTION_CHARS // 2), stop)
        yield text[start:cut]
        start = cut
    yield text[start:]


def _pieces(section: str, markdown: bool, tokenizer: Tokenizer, budget: int) -> list[tuple[str, int]]:
    """Slices of at most `budget` tokens that tile the section, each with its tokens."""
    meter = PieceMeter(tokenizer, section)
    if meter(section) <= budget and not (markdown and blocks(section)):
        return [(section, meter.n_tokens)]  # as the splitter would give it
    if markdown:
        splitter = MarkdownSplitter.from_callback(meter, budget, trim=False)
        pieces = _around_blocks(section, splitter, meter, budget)
    else:
        pieces = TextSplitter.from_callback(meter, budget, trim=False).chunks(section)
    measured = list(zip(pieces, meter.exact_counts(pieces), strict=True))
    if all(count <= budget for _, count in measured):
        return measured
    # A cut within a word can make more tokens of it than the whole word had. Only such pieces are measured slowly.
    slow = TextSplitter.from_huggingface_tokenizer(tokenizer, budget, trim=False)
    parts = [part for piece, count in measured for part in ([piece] if count <= budget else slow.chunks(piece))]
    return list(zip(parts, exact_counts(tokenizer, parts), strict=True))


def _around_blocks(section: str, splitter: MarkdownSplitter, meter: PieceMeter, budget: int) -> list[str]:
    """Cuts what is between the tables and code blocks that fit the budget, and leaves these whole.

    The splitter by itself fills a chunk to the brim and goes on in the next one, also in the middle of a table.
    """
    parts: list[tuple[str, bool]] = []
    at = 0
    for start, stop in blocks(section):
        if meter(section[start:stop]) <= budget:
            parts += [(piece, False) for piece in splitter.chunks(section[at:start])]
            parts.append((section[start:stop], True))
            at = stop
    parts += [(piece, False) for piece in splitter.chunks(section[at:])]
    return _joined(parts, meter, budget)


def _joined(parts: list[tuple[str, bool]], meter: PieceMeter, budget: int) -> list[str]:
    """The parts with each block, which is marked so, joined to its neighbours where they fit; never over a heading."""
    joined: list[tuple[str, bool]] = []
    for text, is_block in parts:
        before, was_block = joined[-1] if joined else ("", False)
        together = before + text
        if (is_block or was_block) and before and not text.lstrip().startswith("#") and meter(together) <= budget:
            joined[-1] = (together, True)
        else:
            joined.append((text, is_block))
    return [text for text, _ in joined]
