"""Small truths about text that several rooms share."""

import re
import unicodedata

_BREAK = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[^\sa-z])|\n\s*\n+|\n(?=\s*(?:[-*•#|>]|\d+[.)]\s))")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|approx|No|Fig|Eq|Sec|Vol|pp|ca|cf|Inc|Ltd|Co|Corp|Gen|Gov|Rev"
    r"|Sen|Rep|Col|Capt|Lt|Mt|Ft|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|al|e\.g|i\.e|U\.S|U\.K|a\.m|p\.m)\.)$"
)


def normalised(text: str) -> str:
    """The form in which texts are compared for equality: NFC, one space for every run of white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def sentences(text: str) -> list[tuple[int, int]]:
    """The (start, stop) character spans of the sentences, in order, white space outside.

    A rule-based split on terminal punctuation, blank lines and list items; initials and common abbreviations do not
    end a sentence. Spans never overlap and hold every character that is not white space.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BREAK.finditer(text):
        if "\n" not in match.group() and _ABBREVIATION.search(text, start, match.start()):
            continue
        _append(spans, text, start, match.end())
        start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, stop: int) -> None:
    piece = text[start:stop]
    body = piece.strip()
    if body:
        first = start + piece.index(body[0])
        spans.append((first, first + len(body)))
