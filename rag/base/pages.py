"""Where the pages of a document begin in its text."""

from bisect import bisect_right
from collections.abc import Sequence

Pages = tuple[tuple[int, int], ...]
"""(offset, number of the page that begins there), by offset; what comes before the first is on no page."""


def page_at(pages: Pages, offset: int) -> int | None:
    """The page on which the character at `offset` stands."""
    index = bisect_right(pages, offset, key=lambda page: page[0])
    return pages[index - 1][1] if index else None


def pages_within(pages: Pages, start: int, stop: int) -> Pages:
    """The pages of `text[start:stop]`, of which the first begins at `start`."""
    first = page_at(pages, start)
    later = tuple(page for page in pages if start < page[0] < stop)
    return later if first is None else ((start, first), *later)


def joined(parts: Sequence[Pages]) -> Pages:
    """The pages of a text from those of parts that tile it, in order."""
    found: list[tuple[int, int]] = []
    for page in (page for part in parts for page in part):
        if not found or found[-1][1] != page[1]:
            found.append(page)
    return tuple(found)
