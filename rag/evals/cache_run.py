"""How often the answer cache gives the answer of another question: gold answers are held against each other."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from cache.risk import upper_bound
from rag.base.answers import Answer
from rag.evals.answers import normalised_answer
from rag.evals.cache_pairs import paraphrases
from rag.evals.collection import read_qrels

PARALLEL = 8
FURTHER = "questions-more.jsonl"
"""More questions of a collection, with the paragraph that answers each."""


class Gold(Struct, frozen=True, kw_only=True):
    """A question with the strings that answer it and the document that holds them."""

    text: str
    answers: frozenset[str]
    document: str


class Wording(Struct, frozen=True):
    """One way in which a question is asked; `is_own` for the collection's own."""

    text: str
    question: int
    is_own: bool


class CacheScores(Struct, frozen=True, kw_only=True):
    """A semantic hit is wrong when the gold answers of the two questions have none in common.

    `wrong_upper` is the upper end of the one-sided 95 % interval. A paraphrase could hit when another wording of its
    question had been kept by then; refusals are not kept.
    """

    questions: int
    paraphrases: int
    exact_hits: int
    semantic_hits: int
    wrong_hits: int
    wrong_upper: float
    wrong_from_another_document: int
    paraphrases_that_could_hit: int
    paraphrases_that_hit: int
    share_of_paraphrases: float


class _Line(Struct, frozen=True):
    id: str = msgspec.field(name="_id")
    text: str = msgspec.field(name="text")
    answers: tuple[str, ...] = ()
    paragraph: str = ""


def read_gold(folder: Path) -> list[Gold]:
    """The questions of the collection and its further ones that have gold answers. Raises ConfigError, OSError."""
    qrels = read_qrels(folder)
    found = []
    for file in (folder / "queries.jsonl", folder / FURTHER):
        for line in file.read_bytes().splitlines() if file.exists() else ():
            one = msgspec.json.decode(line, type=_Line)
            document = one.paragraph or next(iter(qrels.get(one.id, {})), "")
            if one.answers:
                found.append(Gold(text=one.text, answers=_normalised(one.answers), document=document))
    return found


def wordings_of(questions: Sequence[Gold], n_paraphrases: int, seed: int) -> list[Wording]:
    """Every question with some of its paraphrases, all in random order."""
    dice = random.Random(seed)  # noqa: S311 - reproducible data, no secret
    asked = []
    for number, question in enumerate(questions):
        asked.append(Wording(question.text, number, True))
        others = [form for form in paraphrases(question.text) if form != question.text]
        asked += [Wording(form, number, False) for form in dice.sample(others, min(n_paraphrases, len(others)))]
    dice.shuffle(asked)
    return asked


async def score_cache(
    questions: Sequence[Gold],
    asked: Sequence[Wording],
    ask: Callable[[str], Awaitable[Answer]],
    told: Callable[[], None] = lambda: None,
) -> CacheScores:
    """Asks every wording, a few at a time, and judges each hit. `told` hears of each that is answered."""
    by_text: dict[str, list[Gold]] = {}
    for wording in asked:
        by_text.setdefault(wording.text, []).append(questions[wording.question])
    run = _Run(questions, by_text)
    waiting = iter(asked)

    async def work() -> None:
        for wording in waiting:
            could_hit = wording.question in run.kept
            run.judge(wording, await ask(wording.text), could_hit=could_hit)
            told()

    await asyncio.gather(*(work() for _ in range(PARALLEL)))
    return run.scores(len(questions), len(asked))


class _Run:
    """What was counted so far."""

    def __init__(self, questions: Sequence[Gold], by_text: Mapping[str, Sequence[Gold]]) -> None:
        self._questions = questions
        self._by_text = by_text
        self.kept: set[int] = set()
        self._n = dict.fromkeys(("exact", "semantic", "wrong", "elsewhere", "could", "hit"), 0)

    def judge(self, wording: Wording, answer: Answer, *, could_hit: bool) -> None:
        """Counts one answer."""
        recall = answer.cache
        if recall.tier:
            self._n[recall.tier] += 1
        if recall.tier == "semantic":
            self._hold_against(self._questions[wording.question], self._by_text.get(recall.question or "", ()))
        elif answer.stop_reason == "stop":
            self.kept.add(wording.question)
        if not wording.is_own and could_hit:
            self._n["could"] += 1
            self._n["hit"] += recall.status == "hit"

    def _hold_against(self, asked: Gold, served: Sequence[Gold]) -> None:
        if not any(asked.answers & one.answers for one in served):
            self._n["wrong"] += 1
            self._n["elsewhere"] += all(asked.document != one.document for one in served)

    def scores(self, n_questions: int, n_asked: int) -> CacheScores:
        """The sums."""
        n = self._n
        return CacheScores(
            questions=n_questions,
            paraphrases=n_asked - n_questions,
            exact_hits=n["exact"],
            semantic_hits=n["semantic"],
            wrong_hits=n["wrong"],
            wrong_upper=upper_bound(n["wrong"], n["semantic"]),
            wrong_from_another_document=n["elsewhere"],
            paraphrases_that_could_hit=n["could"],
            paraphrases_that_hit=n["hit"],
            share_of_paraphrases=n["hit"] / n["could"] if n["could"] else 0.0,
        )


def _normalised(answers: Sequence[str]) -> frozenset[str]:
    return frozenset(normalised_answer(answer) for answer in answers)
