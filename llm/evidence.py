"""How well each sentence of the sources supports an answer to a question. Pure: words and nearness in, numbers out.

The lexical score of a sentence is a weighted sum of two shares of the question's words, each word weighing by how rare
it is among the sentences at hand: those that the sentence holds together with the headings and the title above it
(TITLED), and those that it holds together with these and the sentence before it (ABOVE), since a text names its
subject once; of whether it holds the kind of thing that is asked for (FITS, see `expectation`); and of 1 / the place
of its source (RANK). Nearness in meaning, where a scorer has read the sentence, comes on top (NEAR).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from llm.expectation import expectation
from llm.terms import content_terms, terms
from rag.base.text import normalised, sentences
from rag.base.types import Source

# Fitted 2026-11-23 by listwise softmax regression of the sentences that hold the gold answer against the others of the
# same five sources, found by the service's own search, on questions of Natural Questions (600), SelQA (420), PubMedQA
# (600), CLAPNQ (299), COVID-QA (420), PolicyQA (420) and SQuAD's train part as ReQA has it (420), all domains weighing
# alike. SQuAD's dev part was only measured (docs/benchmarks.md). Without any one domain no weight moves by more than
# 0.9, and the domain left out loses at most one point of answers found.
TITLED, ABOVE, FITS, RANK, NEAR = 3.2, 1.4, 1.4, 1.5, 4.7
UNREAD_NEARNESS = 0.3  # of a sentence that no scorer read: the mean of the 9th to 14th best, same questions, 0.32
FRAGMENT_PENALTY = 4.0  # for headings and questions, which repeat the question's words and answer nothing

_HEADING_WORDS = 8
_MARKS = re.compile(r"^(?:(?:#{1,6}|[-*+•>]|\d{1,3}[.)])\s+)+")
_MARKERS = re.compile(r"\s?\[\d{1,3}(?: ?, ?\d{1,3})*\]")
_HEADING = re.compile(r"#{1,6}\s")
_ENDS = re.compile(r"[.!?:;|\u2026\u3002\uff01\uff1f][\"')\]*_\u201d\u2019]*$")


class Sentence(Struct, frozen=True, kw_only=True):
    """One sentence: `source` is the index of its source, `place` its own within it.

    `text` is literal but for white space made single, list and heading marks, and reference marks such as `[3]`, which
    a reader would take for citations.
    """

    source: int
    place: int
    text: str
    terms: frozenset[str]
    is_fragment: bool


class Evidence(Struct, frozen=True, kw_only=True):
    """The sentences of all sources in reading order, the score of each, and the best share of words in one source."""

    sentences: tuple[Sentence, ...]
    lexical: tuple[float, ...]
    coverage: float


def gathered(question: str, sources: Sequence[Source]) -> Evidence:
    """All that the words of the question and the sources say."""
    pool = tuple(_sentences(sources))
    weights = _rarity(content_terms(question), pool)
    titles = [frozenset(terms(" ".join((source.title, *source.headings)))) for source in sources]
    expected = expectation(question)
    lexical = []
    for index, sentence in enumerate(pool):
        titled = sentence.terms | titles[sentence.source]
        above = titled | _terms_before(pool, index)
        score = TITLED * _share(titled, weights) + ABOVE * _share(above, weights)
        score += FITS * bool(expected and expected.search(sentence.text)) + RANK / (1 + sentence.source)
        lexical.append(score - FRAGMENT_PENALTY * sentence.is_fragment)
    held = [set(title) for title in titles]
    for sentence in pool:
        held[sentence.source] |= sentence.terms
    coverage = max((_share(words, weights) for words in held), default=0.0)
    return Evidence(sentences=pool, lexical=tuple(lexical), coverage=coverage)


def promising(evidence: Evidence, limit: int) -> list[int]:
    """The indexes of the sentences that a scorer should read, best first, equal texts once."""
    best: dict[str, int] = {}
    for index in sorted(range(len(evidence.lexical)), key=lambda index: -evidence.lexical[index]):
        best.setdefault(evidence.sentences[index].text, index)
    return list(best.values())[:limit]


def scores(evidence: Evidence, nearness: Mapping[int, float]) -> list[float]:
    """The score of each sentence; `nearness`, in -1..1, of those that a scorer has read."""
    return [score + NEAR * nearness.get(index, UNREAD_NEARNESS) for index, score in enumerate(evidence.lexical)]


def _sentences(sources: Sequence[Source]) -> Iterable[Sentence]:
    for index, source in enumerate(sources):
        for place, (start, stop) in enumerate(sentences(source.text)):
            raw = source.text[start:stop]
            text = _MARKERS.sub("", _MARKS.sub("", normalised(raw)))
            if text:
                fragment = _is_fragment(raw, text)
                yield Sentence(source=index, place=place, text=text, terms=frozenset(terms(text)), is_fragment=fragment)


def _is_fragment(raw: str, text: str) -> bool:
    if text.endswith("?") or _HEADING.match(raw):
        return True
    return raw == text and not _ENDS.search(text) and len(text.split()) <= _HEADING_WORDS


def _terms_before(pool: Sequence[Sentence], index: int) -> frozenset[str]:
    """The terms of the sentence before; none where the source begins."""
    if index and pool[index - 1].source == pool[index].source:
        return pool[index - 1].terms
    return frozenset()


def _rarity(asked: Iterable[str], pool: Sequence[Sentence]) -> dict[str, float]:
    """Each term's share of the weight of the question, by inverse sentence frequency; the shares add up to 1."""
    n = len(pool)
    weights = {
        term: math.log(1 + (n + 0.5) / (sum(term in sentence.terms for sentence in pool) + 0.5)) for term in asked
    }
    total = sum(weights.values()) or 1.0
    return {term: weight / total for term, weight in weights.items()}


def _share(held: Iterable[str], weights: Mapping[str, float]) -> float:
    return sum(weight for term, weight in weights.items() if term in held)
