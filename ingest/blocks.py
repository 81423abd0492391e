"""The parts of a Markdown text that are worth keeping in one piece."""

import re

FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
"""The line that opens a code fence; the group is what the closing line must have at least."""

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
"""One line with its end, as CommonMark ends lines."""

_ROW = re.compile(r" {0,3}\|")


def closes(line: str, fence: str) -> bool:
    """Whether the line ends the code that `fence` opened."""
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def blocks(text: str) -> list[tuple[int, int]]:
    """The (start, stop) spans of tables and fenced code, line ends included, in order and apart."""
    spans: list[tuple[int, int]] = []
    fence, start, was_row = "", 0, False
    for match in LINE.finditer(text):
        line = match.group()
        is_row = not fence and _ROW.match(line) is not None
        if fence:
            if closes(line, fence):
                spans.append((start, match.end()))
                fence = ""
        elif opening := FENCE.match(line.rstrip("\r\n")):
            fence, start = opening.group(1), match.start()
        elif is_row and was_row:
            spans[-1] = (spans[-1][0], match.end())
        elif is_row:
            spans.append((match.start(), match.end()))
        was_row = is_row
    return spans
