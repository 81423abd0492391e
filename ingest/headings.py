"""The headings of a Markdown text, and which of them a place in it stands under."""

import re
from bisect import bisect_left, bisect_right

from msgspec import Struct

from ingest.blocks import FENCE, LINE, closes

LONGEST_HEADING_CHARS = 160
"""Converters mark whole paragraphs as headings; a longer one names nothing."""

_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NOT_A_PARAGRAPH = re.compile(r"[ \t]*(?:$|[>|#+*-]|\d+[.)][ \t])|(?: {4}|\t)")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")
_CLOSING = re.compile(r"(?:^|[ \t]+)#+$")


class Heading(Struct, frozen=True):
    """One heading: its lines are `text[start:stop]`, line end included."""

    start: int
    stop: int
    level: int
    title: str


class Outline:
    """Answers which headings a character stands under."""

    def __init__(self, found: list[Heading]) -> None:
        self._headings = found
        self._starts = [heading.start for heading in found]
        self._paths = _paths(found)

    def path(self, text: str, start: int, stop: int) -> tuple[str, ...]:
        """The headings above the first words of `text[start:stop]` that are not a heading themselves, outermost first.

        A slice that holds nothing but headings is under the last of them.
        """
        index = bisect_right(self._starts, start)
        while index < len(self._headings):
            before = self._headings[index - 1].stop if index else 0
            if self._starts[index] >= stop or text[max(start, before) : self._starts[index]].strip():
                break
            index += 1
        return self._paths[index - 1] if index else ()

    def last_start(self, stop: int) -> int:
        """Where the last heading before `stop` starts; 0 when there is none."""
        index = bisect_left(self._starts, stop)
        return self._starts[index - 1] if index else 0


def headings(text: str) -> list[Heading]:
    """The ATX and setext headings of a CommonMark text, in order; a '#' inside a code fence is no heading."""
    found: list[Heading] = []
    fence = ""
    previous, previous_start, alone = "", 0, True
    for match in LINE.finditer(text):
        line = match.group().rstrip("\r\n")
        marker = FENCE.match(line)
        if fence:
            fence = "" if closes(line, fence) else fence
            previous, alone = "", True
            continue
        if marker:
            fence = marker.group(1)
        elif atx := _ATX.match(line):
            _append(found, match.start(), match.end(), len(atx.group(1)), line[atx.end() :])
            line = ""
        elif alone and not _NOT_A_PARAGRAPH.match(previous) and (rule := _UNDERLINE.match(line)):
            _append(found, previous_start, match.end(), 1 if rule.group(1)[0] == "=" else 2, previous)
            line = ""
        alone = not previous.strip()
        previous, previous_start = line, match.start()
    return found


def first_heading(text: str) -> str | None:
    """The title that a Markdown text gives itself: its first heading of level 1, else its first heading."""
    found = headings(text)
    return next((heading.title for heading in found if heading.level == 1), found[0].title if found else None)


def _append(found: list[Heading], start: int, stop: int, level: int, title: str) -> None:
    if len(title) > 4 * LONGEST_HEADING_CHARS:
        return
    plain = _MARKUP.sub(lambda markup: markup.group(1) or "", title).strip()
    plain = _CLOSING.sub("", plain)
    if plain and len(plain) <= LONGEST_HEADING_CHARS:
        found.append(Heading(start, stop, level, plain))


def _paths(found: list[Heading]) -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = []
    open_: list[Heading] = []
    for heading in found:
        while open_ and open_[-1].level >= heading.level:
            open_.pop()
        open_.append(heading)
        paths.append(tuple(each.title for each in open_))
    return paths
