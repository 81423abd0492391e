"""What must agree before the answer to one question may serve another, cheapest first. Pure.

A vector says that two questions are about the same things; that they ask the same of them it does not say: a question
and its reversal are 0.83 to 0.9997 alike over nine encoders. Each gate names one way in which questions that look alike
differ. A gate that shuts wrongly costs an answer made anew; one that opens wrongly costs a wrong answer.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from cache import lexicon
from cache.wording import Wording, stem, worded

MAX_WORDS: Final = 60
"""Longer questions tell stories, of which a detail may decide; the exact tier has them."""

MAX_CHARS: Final = 600
"""As many as `MAX_WORDS` long words have. What is longer is not even read: reading it takes the square of its length
(1.9 s of CPU for 8,000 characters, 2026-11-23), and what was read is remembered."""


def refused_by(one: str, other: str) -> str | None:
    """The first gate that tells the questions apart, or None."""
    if max(len(one), len(other)) > MAX_CHARS:
        return "length"
    a, b = worded(one), worded(other)
    return next((name for name, agree in GATES.items() if not agree(a, b)), None)


def _length(a: Wording, b: Wording) -> bool:
    return 0 < len(a.words) <= MAX_WORDS and 0 < len(b.words) <= MAX_WORDS and bool(a.content) and bool(b.content)


def _language(a: Wording, b: Wording) -> bool:
    return a.scripts == b.scripts


def _numbers(a: Wording, b: Wording) -> bool:
    return a.numbers == b.numbers


def _units(a: Wording, b: Wording) -> bool:
    return not (_extra(a, b, lexicon.UNITS) and _extra(b, a, lexicon.UNITS))


def _negation(a: Wording, b: Wording) -> bool:
    return a.count(lexicon.NEGATIONS).total() == b.count(lexicon.NEGATIONS).total()


def _same_count(among: frozenset[str]) -> Callable[[Wording, Wording], bool]:
    return lambda a, b: a.count(among) == b.count(among)


def _extra(a: Wording, b: Wording, among: frozenset[str]) -> set[str]:
    return {stem(word) for word in a.count(among)} - {stem(word) for word in b.count(among)}


def _direction(a: Wording, b: Wording) -> bool:
    """No word of one side is the opposite of one that only the other has."""
    ours, theirs = _stems(a), _stems(b)
    return not any(
        pair & (ours - theirs) and pair & (theirs - ours) and pair <= ours | theirs for pair in lexicon.OPPOSITES
    )


def _stems(wording: Wording) -> set[str]:
    return {*wording.content, *wording.words}


def _quotes(a: Wording, b: Wording) -> bool:
    return a.quotes == b.quotes or (not (a.quotes and b.quotes) and _within(a, b))


def _within(a: Wording, b: Wording) -> bool:
    """Where only one side quotes, the other must at least have the words."""
    return all(set(quote.split()) <= {*b.words} for quote in a.quotes) and all(
        set(quote.split()) <= {*a.words} for quote in b.quotes
    )


def _names(a: Wording, b: Wording) -> bool:
    """No name stands where the other side has another one; a name of one side may be a common word of the other."""
    return not (a.names - {*b.words} and b.names - {*a.words})


def _kind(a: Wording, b: Wording) -> bool:
    kinds = {a.kind, b.kind}
    return len(kinds) == 1 or ("none" in kinds and kinds <= {"none", "thing", "how", "whether"})


def _tense(a: Wording, b: Wording) -> bool:
    """Time and mood agree; what can be done and what is done are told apart where that is the question."""
    decides = "whether" in {a.kind, b.kind} or a.count(lexicon.NEGATIONS)
    if decides and bool(a.count(lexicon.ABLE)) != bool(b.count(lexicon.ABLE)):
        return False
    same_mood = all(bool(a.count(words)) == bool(b.count(words)) for words in lexicon.TENSES.values())
    return same_mood and _n_past(a) == _n_past(b)


def _n_past(wording: Wording) -> int:
    return sum(word in lexicon.PAST or (len(word) > 4 and word.endswith("ed")) for word in wording.words)


def _pointing(a: Wording, b: Wording) -> bool:
    return set(a.count(lexicon.POINTING)) == set(b.count(lexicon.POINTING))


def _wording(a: Wording, b: Wording) -> bool:
    """The same content words, inflection and order apart: one word more or another in its place may be the point."""
    return Counter(a.content) == Counter(b.content)


def _roles(a: Wording, b: Wording) -> bool:
    """Who does what to whom: the words of both stand in one order, or move only together with their preposition."""
    shared = {*a.content} & {*b.content}
    in_order = [word for word in a.content if word in shared] == [word for word in b.content if word in shared]
    if not (in_order and _parts(a) == _parts(b)) and Counter(a.phrases) != Counter(b.phrases):
        return False
    ours, theirs = _persons(a), _persons(b)
    return min(len(ours), len(theirs)) < 2 or ours == theirs


def _persons(wording: Wording) -> list[str]:
    """The different persons that pronouns name, in order."""
    return list(dict.fromkeys(lexicon.PERSONS[word] for word in wording.words if word in lexicon.PERSONS))


def _parts(wording: Wording) -> Counter[tuple[str, str]]:
    """What stands behind each preposition that gives a part."""
    return Counter((word, behind[0] if behind else "") for word, behind in wording.phrases if word in lexicon.ROLES)


GATES: Final[dict[str, Callable[[Wording, Wording], bool]]] = {
    "length": _length,
    "language": _language,
    "numbers": _numbers,
    "units": _units,
    "negation": _negation,
    "exclusion": _same_count(lexicon.EXCLUSIONS),
    "scope": _same_count(lexicon.QUANTIFIERS),
    "direction": _direction,
    "quotes": _quotes,
    "names": _names,
    "kind": _kind,
    "tense": _tense,
    "pointing": _pointing,
    "roles": _roles,
    "wording": _wording,
}
"""Cheapest first; "wording" is last, so that it tells of questions that nothing else tells apart."""
