"""A set of documents that were made from each other by edits, and which of them are truly alike."""

import random
from collections import Counter
from typing import NamedTuple

from ingest.minhash import ALIKE, SHORT_WORDS, likeness, runs, words

N_WORDS = 20_000


class Made(NamedTuple):
    """A document, and the number of the one that it was made from by edits, if it was."""

    text: str
    parent: int | None


def made_set(n_documents: int, seed: int = 0) -> list[Made]:
    """Originals of 20 to 600 words drawn as language draws them, each with three copies of 0 to 20 % edited words."""
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(N_WORDS)]
    weights = [1 / (rank + 5) for rank in range(N_WORDS)]
    documents: list[Made] = []
    while len(documents) < n_documents:
        original = rng.choices(vocabulary, weights, k=int(20 * 30 ** rng.random()))
        parent = len(documents)
        documents.append(Made(" ".join(original), None))
        for _ in range(3):
            share = 0.2 * rng.random() ** 2
            documents.append(Made(" ".join(edited(original, share, vocabulary, rng)), parent))
    return documents[:n_documents]


def edited(found: list[str], share: float, vocabulary: list[str], rng: random.Random) -> list[str]:
    """A copy in which about that share of words was replaced, left out, doubled or changed by a letter."""
    copy: list[str] = []
    for word in found:
        if rng.random() >= share:
            copy.append(word)
            continue
        match rng.randrange(4):
            case 0:
                copy.append(rng.choice(vocabulary))
            case 1:
                pass
            case 2:
                copy += [word, rng.choice(vocabulary)]
            case _:
                copy.append(word[:-1] + rng.choice("xyz"))
    return copy


def truly_alike(documents: list[Made]) -> set[tuple[int, int]]:
    """The pairs of one family whose Jaccard similarity is at least `ALIKE`, compared one by one."""
    families: dict[int, list[int]] = {}
    for number, document in enumerate(documents):
        families.setdefault(number if document.parent is None else document.parent, []).append(number)
    sets = [runs(words(document.text)) for document in documents]
    return {
        (one, other)
        for family in families.values()
        for one in family
        for other in family
        if one < other and likeness(sets[one], sets[other]) >= ALIKE
    }


def altered(rng: random.Random) -> tuple[str, str]:
    """Two statements of 30 to 250 words that differ in one number or one negation."""
    found = [
        rng.choice(("the", "party", "shall", "pay", "within", "notice", "of", "rent")) + str("ab"[rng.random() > 0.5])
        for _ in range(rng.randint(30, min(250, SHORT_WORDS)))
    ]
    at = rng.randrange(len(found))
    number = rng.randint(1, 10**6)
    if rng.random() < 0.5:
        one, other = [*found[:at], str(number), *found[at:]], [*found[:at], str(number + 1), *found[at:]]
    else:
        negation = rng.choice(("not", "never", "no", "isn't", "without"))
        one, other = found, [*found[:at], negation, *found[at:]]
    assert Counter(one) != Counter(other)
    return " ".join(one), " ".join(other)
