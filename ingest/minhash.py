"""How alike two texts are, and keys by which texts that are alike find each other. Pure.

Likeness is the Jaccard similarity of the sets of runs of three words. MinHash with banding (Broder 1997; Leskovec,
Rajaraman, Ullman, "Mining of Massive Datasets", chapter 3): a signature of 96 minima is cut into 16 bands of 6, and two
texts of likeness s share a band with probability 1 - (1 - s^6)^16: 0.99 at 0.8, 0.54 at 0.6, 0.22 at 0.5.
"""

import re
from collections import Counter
from typing import Final

from rensa import RMinHash

from rag.base.ids import digest

ALIKE: Final = 0.8
"""The likeness from which texts count as nearly the same."""

SHORT_WORDS: Final = 300
"""In a text of at most so many words another number or a negation makes another statement, however alike the rest."""

_BANDS: Final = 16
_ROWS: Final = 6
_SEED: Final = 42
_RUN: Final = 3
_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")
_NEGATIONS: Final = frozenset(
    {"no", "not", "never", "none", "nor", "neither", "nothing", "nobody", "without", "cannot"}
)


def words(text: str) -> list[str]:
    """The words of a text, letter case aside."""
    return _WORD.findall(text.lower())


def runs(found: list[str]) -> set[str]:
    """Every three words in a row. Beyond the first and the last word there are empty ones, so that each word counts."""
    padding = [""] * (_RUN - 1)
    padded = [*padding, *found, *padding]
    return {" ".join(padded[at : at + _RUN]) for at in range(len(padded) - _RUN + 1)} if found else set()


def bands(text: str) -> tuple[str, ...]:
    """The keys of a text: texts that are alike have at least one of the 16 in common. None for a text of no words."""
    pieces = runs(words(text))
    if not pieces:
        return ()
    signature = RMinHash(num_perm=_BANDS * _ROWS, seed=_SEED)
    signature.update(sorted(pieces))
    minima = signature.digest()
    scheme = f"rensa {RMinHash.ALGORITHM_VERSION}"
    return tuple(
        digest(scheme, str(band), repr(minima[band * _ROWS : (band + 1) * _ROWS]))[:16] for band in range(_BANDS)
    )


def likeness(one: set[str], other: set[str]) -> float:
    """The Jaccard similarity of two sets; 0 for two empty ones."""
    together = len(one | other)
    return len(one & other) / together if together else 0.0


def nearly_same(one: str, other: str) -> bool:
    """Whether the texts are alike and neither is short and says something else."""
    ours, theirs = words(one), words(other)
    if min(len(ours), len(theirs)) <= SHORT_WORDS and _stakes(ours) != _stakes(theirs):
        return False
    return likeness(runs(ours), runs(theirs)) >= ALIKE


def _stakes(found: list[str]) -> Counter[str]:
    """The words on which what a text says hangs: numbers and negations."""
    return Counter(
        "not" if word in _NEGATIONS or word.endswith(("n't", "n\u2019t")) else word
        for word in found
        if word in _NEGATIONS or word.endswith(("n't", "n\u2019t")) or any(letter.isdigit() for letter in word)
    )
