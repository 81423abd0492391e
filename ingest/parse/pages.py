"""Finds where pages begin in the Markdown that was made of a whole document.

The parser gives each page as plain text beside the Markdown of all of them. The words are the same and nearly in the
same order, so a page begins where its first words stand near the place to which the words of the pages before it lead.
"""

import re
from collections.abc import Mapping, Sequence

from rag.base.pages import Pages

RUN_WORDS = 6
"""So many words in a row tell a place; fewer if the page has no more."""
TRIED_RUNS = 40
"""Runs from the top of a page that are looked for: headers and footers may stand elsewhere in the Markdown."""
SLACK_WORDS = 300
"""How far from the expected place a page may begin: what repeats on every page must not lead to another one. After
pages that were not found the expectation is less certain, and a third of their words is added."""

_WORD = re.compile(r"[^\W_]+")


def page_starts(text: str, pages: Sequence[tuple[int, str]]) -> Pages:
    """Where the pages, given by number and text, begin in `text`.

    A page whose words are not found begins where it should; one of few words, or none, is left out.
    """
    places = [(match.group(), match.start()) for match in _WORD.finditer(text)]
    split = [(number, _WORD.findall(page)) for number, page in pages]
    runs = _runs([word for word, _ in places], {min(RUN_WORDS, len(words)) for _, words in split} - {0})
    found: list[tuple[int, int]] = []
    reached = expected = n_lost = 0
    for number, words in split:
        slack = SLACK_WORDS + n_lost // 3
        start = _start(words, runs, range(max(reached, expected - slack), expected + slack))
        n_lost = n_lost + len(words) if start is None else 0
        if start is None and len(words) >= RUN_WORDS and max(reached, expected) < len(places):
            start = max(reached, expected)
        if start is not None:
            found.append((places[start][1] if found else 0, number))
            reached, expected = start + 1, start
        expected += len(words)
    return tuple(found)


def _runs(words: Sequence[str], sizes: set[int]) -> Mapping[tuple[str, ...], list[int]]:
    """Where each run of words of one of the sizes stands."""
    runs: dict[tuple[str, ...], list[int]] = {}
    for size in sizes:
        for at in range(len(words) - size + 1):
            runs.setdefault(tuple(words[at : at + size]), []).append(at)
    return runs


def _start(words: Sequence[str], runs: Mapping[tuple[str, ...], list[int]], allowed: range) -> int | None:
    """The place of the page's first word, by the first of its runs that stands where it may, nearest to the middle."""
    size = min(RUN_WORDS, len(words))
    for skipped in range(min(TRIED_RUNS, len(words) - size + 1) if size else 0):
        starts = [at - skipped for at in runs.get(tuple(words[skipped : skipped + size]), ())]
        near = [start for start in starts if start in allowed]
        if near:
            return min(near, key=lambda start: abs(2 * start - allowed.start - allowed.stop))
    return None
