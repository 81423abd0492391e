"""Citations: markers read from a stream, invented ones dropped, quotes found in the source they name."""

import re
from collections.abc import Iterator, Mapping, Sequence

from rag.base.answers import Citation, Cited
from rag.base.pages import page_at
from rag.base.text import sentences
from rag.base.types import Chunk, Source, TextDelta

_MARKER = re.compile(r" ?\[(\d{1,3}(?: ?, ?\d{1,3}){0,7})\]")
_UNFINISHED = re.compile(r" ?\[[\d, ]{0,50}$| $")  # 50 characters hold the longest marker
_QUOTED = re.compile(r"[\"“”]([^\"“”]{8,400})[\"“”]")
_WORD = re.compile(r"\w+")
LITERAL_WORDS = 3
"""A quotation of fewer words may stand anywhere by chance."""


class CitationReader:
    """Turns the text of one answer into text and citations, the same however the text was cut into pieces.

    `[3]` stays where source 3 exists and gives a `Cited` behind its sentence; a marker of no source is removed.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources: Mapping[int, Source] = {source.marker: source for source in sources}
        self._held = ""
        self._text = ""
        self._claim_start = 0
        self._claim = ""
        self._supports: dict[int, Citation] = {}  # of the present claim; a model may repeat a marker without end
        self.citations: list[Citation] = []

    @property
    def text(self) -> str:
        """What was given out so far."""
        return self._text

    def feed(self, piece: str) -> Iterator[TextDelta | Cited]:
        """The events that the next piece of text completes."""
        self._held += piece
        unfinished = _UNFINISHED.search(self._held)
        cut = unfinished.start() if unfinished else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        yield from self._read(ready)

    def finish(self) -> Iterator[TextDelta | Cited]:
        """The events of what was held back."""
        ready, self._held = self._held, ""
        yield from self._read(ready)

    def _read(self, text: str) -> Iterator[TextDelta | Cited]:
        at = 0
        for match in _MARKER.finditer(text):
            yield from self._say(text[at : match.start()])
            markers = [int(number) for number in match.group(1).split(",")]
            known = [marker for marker in dict.fromkeys(markers) if marker in self._sources]
            yield from self._cite(known, spaced=match.group().startswith(" "))
            at = match.end()
        yield from self._say(text[at:])

    def _say(self, text: str) -> Iterator[TextDelta]:
        if text:
            self._text += text
            yield TextDelta(text=text)

    def _cite(self, markers: Sequence[int], *, spaced: bool) -> Iterator[TextDelta | Cited]:
        self._settle_claim()
        if markers:
            yield from self._say((" " if spaced else "") + "".join(f"[{marker}]" for marker in markers))
            self._claim_start = len(self._text)
        for marker in markers:
            if marker not in self._supports:
                self._supports[marker] = located(self._claim, self._sources[marker])
            citation = self._supports[marker]
            self.citations.append(citation)
            yield Cited(citation=citation)

    def _settle_claim(self) -> None:
        """The statement before a marker: what was said since the last one, at most its last sentence.

        Where nothing was said since, the marker stands behind the same statement.
        """
        said = self._text[self._claim_start :]
        if not any(character.isalnum() for character in said):
            return
        spans = sentences(said)
        self._claim = said[spans[-1][0] : spans[-1][1]] if spans else said
        self._supports = {}


def located(claim: str, source: Source) -> Citation:
    """The part of the source that supports the claim.

    In this order: the claim itself, a quotation in it, else the sentence that shares the most words with it (then not
    `verified`: it is where to look, not a proof). Offsets are those of the document.
    """
    span, verified = _support(claim, source.text)
    start, stop = source.start + span[0], source.start + span[1]
    chunk = _chunk_at(source, start)
    return Citation(
        marker=source.marker,
        chunk_id=chunk.id,
        document_id=source.document_id,
        uri=source.uri,
        title=source.title,
        start=start,
        stop=stop,
        quote=source.text[span[0] : span[1]],
        verified=verified,
        page=page_at(chunk.pages, start),
    )


def _support(claim: str, text: str) -> tuple[tuple[int, int], bool]:
    quotations = [match.group(1) for match in _QUOTED.finditer(claim)]
    for literal in (claim.strip(), *quotations):
        span = _find(literal, text)
        if span:
            return span, True
    return _closest(claim, text), False


def _find(literal: str, text: str) -> tuple[int, int] | None:
    """Where the words of `literal` stand in `text`, white space apart."""
    words = literal.strip().rstrip(".,;:").split()
    if len(words) < LITERAL_WORDS:
        return None
    match = re.search(r"\s+".join(map(re.escape, words)) + r"[.!?]?", text)
    return match.span() if match else None


def _closest(claim: str, text: str) -> tuple[int, int]:
    wanted = set(_WORD.findall(claim.lower()))
    spans = sentences(text)
    if not spans:
        return (0, len(text))

    def shared(span: tuple[int, int]) -> float:
        words = set(_WORD.findall(text[span[0] : span[1]].lower()))
        return len(words & wanted) / (1 + len(words | wanted))

    return max(spans, key=shared)


def _chunk_at(source: Source, offset: int) -> Chunk:
    for candidate in source.candidates:
        chunk = candidate.passage.chunk
        if chunk.start <= offset < chunk.stop:
            return chunk
    return source.candidates[0].passage.chunk
