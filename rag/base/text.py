"""Small truths about text that several rooms share."""

import re
import unicodedata

_BREAK = re.compile(
    r"(?P<stop>(?<=[.!?\u2026])[\"')\]\u201d\u2019\u00bb]*(?:\[\d{1,3}\])*\s+"
    r"(?=[\"'(\[\u201c\u2018\u00ab]*[^\sa-z.!?,;:\u2026]))"
    r"|(?P<full>(?<=[\u3002\uff01\uff1f])[\u201d\u2019\u300d\u300f]*)"  # scripts that put no space after a full stop
    r"|\n\s*\n\s*|\n"
)
_MARKED_LINE = re.compile(
    r"\s*(?:[-*+\u2022\u2023\u25e6\u25aa]\s|#{1,6}\s|[|>]|\d{1,3}[.)]\s|[=~-]{3,}\s*$)", re.MULTILINE
)
_LINE_ALONE = re.compile(r"\s*(?:#{1,6}\s|\||[=~-]{3,}\s*$)")

_NEVER_LAST = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Gen|Gov|Sen|Rep|Col|Capt|Sgt|Lt|Mt|Ft|Rev|Hon|vs|cf|ca|approx|e\.g|i\.e|viz|incl)\.$"
)
_BEFORE_NUMBER = re.compile(
    r"\b(?:No|Nos|Fig|Figs|Eq|Sec|Vol|Ch|Art|pp|p|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)\.$"
)
_PERHAPS_LAST = re.compile(r"(?:\b(?:[A-Za-z]|Inc|Ltd|Co|Corp|Jr|Sr|etc|al)\.|\b[A-Za-z]\.[A-Za-z]\.)$")
_OPENS_SENTENCE = re.compile(
    r"[\"'(\[\u201c\u2018]*(?:The|This|That|These|Those|It|He|She|They|We|You|I|In|On|At|By|For|From|With|As|An?|But|And"
    r"|If|When|While|After|Before|Since|Although|However|Its|His|Her|Their|Our|There|Here|Both|Some|Many|Most)\b"
)
_LIST_NUMBER = re.compile(r"\s*\d{1,3}[.)]")
_LONGEST_ABBREVIATION = 8


def normalised(text: str) -> str:
    """The form in which texts are compared for equality: NFC, one space for every run of white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def sentences(text: str) -> list[tuple[int, int]]:
    """The (start, stop) character spans of the sentences, in order, white space outside.

    A rule-based split on terminal punctuation, blank lines, headings, table rows and list items; initials and common
    abbreviations do not end a sentence, nor do line breaks within a paragraph. Spans never overlap, hold every
    character that is not white space, and each but the first holds a letter or digit. English rules; linear time.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BREAK.finditer(text):
        if _ends_sentence(text, start, match):
            _append(spans, text, start, match.end())
            start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    gap = match.group()
    if gap.count("\n") > 1:
        return True
    if "\n" in gap and _is_line_of_its_own(text, start, match):
        return True
    return match.lastgroup == "full" or (match.lastgroup == "stop" and not _is_abbreviation(text, start, match))


def _is_line_of_its_own(text: str, start: int, match: re.Match[str]) -> bool:
    line = max(start, text.rfind("\n", start, match.start()) + 1)
    return bool(_MARKED_LINE.match(text, match.end()) or _LINE_ALONE.match(text, line, match.start()))


def _is_abbreviation(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the full stop before the gap belongs to a word or a list number. Some leave it to what follows."""
    if _LIST_NUMBER.fullmatch(text, start, match.start()):
        return True
    word = max(start, match.start() - _LONGEST_ABBREVIATION)
    if _NEVER_LAST.search(text, word, match.start()):
        return True
    if _BEFORE_NUMBER.search(text, word, match.start()):
        return text[match.end()].isdigit()
    return bool(_PERHAPS_LAST.search(text, word, match.start())) and not _OPENS_SENTENCE.match(text, match.end())


def _append(spans: list[tuple[int, int]], text: str, start: int, stop: int) -> None:
    piece = text[start:stop]
    body = piece.strip()
    if not body:
        return
    first = start + piece.index(body[0])
    if spans and not any(character.isalnum() for character in body):  # stray punctuation ends what came before it
        spans[-1] = (spans[-1][0], first + len(body))
    else:
        spans.append((first, first + len(body)))
