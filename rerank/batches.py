"""Batches for training the cross-encoder: pure functions over token ids, so that a seed fixes a whole run.

A group is a question followed by its passages, the right one first. Batches hold groups of like length, because on a
CPU the time of a batch is its padded size.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from rerank.mine import Example

Tokens: TypeAlias = list[int]
Group: TypeAlias = list[Tokens]

SORTED_BATCHES = 64  # batches of like length are cut from this many at once: little padding, still mixed


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a batch."""

    n_questions: int = 8
    n_passages: int = 6
    max_tokens: int = 192


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A tokenised example: no special tokens, the right passage first."""

    dataset: str
    question: Tokens
    passages: list[Tokens]


def choose_passages(n_available: int, n_wanted: int, rng: random.Random) -> list[int]:
    """The right passage, 0, and a random choice of the negatives 1 to `n_available - 1`; repeats when too few."""
    negatives = list(range(1, n_available))
    chosen = rng.sample(negatives, min(n_wanted - 1, len(negatives)))
    while len(chosen) < n_wanted - 1:
        chosen.append(rng.choice(negatives))
    return [0, *chosen]


def cut_batches(lengths: Sequence[int], n_each: int, rng: random.Random) -> list[list[int]]:
    """Every index once, in batches of `n_each` (one may be smaller) of like length, in random order."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    stretch = n_each * SORTED_BATCHES
    batches = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda index: lengths[index])
        batches += [part[at : at + n_each] for at in range(0, len(part), n_each)]
    rng.shuffle(batches)
    return batches


def join_pair(question: Tokens, passage: Tokens, max_tokens: int, special: tuple[int, int]) -> tuple[Tokens, Tokens]:
    """Token ids and segment ids of `[CLS] question [SEP] passage [SEP]`; the passage gives way, the question half."""
    start, separator = special
    question = question[: (max_tokens - 3) // 2]
    passage = passage[: max_tokens - 3 - len(question)]
    ids = [start, *question, separator, *passage, separator]
    return ids, [0] * (len(question) + 2) + [1] * (len(passage) + 1)


def read_examples(path: Path) -> list[Example]:
    """What `rerank.mine` wrote."""
    with path.open("rb") as file:
        return [msgspec.json.decode(line, type=Example) for line in file]


def tokenise(examples: Sequence[Example], tokenizer: Any) -> list[Question]:
    """The examples as token ids, in order."""

    def ids(texts: Sequence[str]) -> list[Tokens]:
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    questions = ids([example.question for example in examples])
    passages = iter(ids([text for example in examples for text in (example.positive, *example.negatives)]))
    return [
        Question(dataset=e.dataset, question=q, passages=[next(passages) for _ in range(1 + len(e.negatives))])
        for e, q in zip(examples, questions, strict=True)
    ]


def epoch_batches(questions: Sequence[Question], seed: str, shape: Shape) -> Iterator[list[Group]]:
    """Every question once in batches of like length; the order and the negatives depend on `seed` only."""
    rng = random.Random(seed)  # noqa: S311  # orders training data, guards nothing
    chosen = [choose_passages(len(item.passages), shape.n_passages, rng) for item in questions]
    lengths = [
        min(len(item.question) + max(len(item.passages[i]) for i in picks) + 3, shape.max_tokens)
        for item, picks in zip(questions, chosen, strict=True)
    ]
    for batch in cut_batches(lengths, shape.n_questions, rng):
        yield [[questions[n].question, *(questions[n].passages[i] for i in chosen[n])] for n in batch]
