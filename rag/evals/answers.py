"""How often an answer holds a gold answer, over a file of questions that have them."""

import asyncio
import re
import string
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from rag.base.errors import ConfigError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MARKER = re.compile(r"\s?\[\d+\]")
PARALLEL = 8


class Judged(msgspec.Struct, frozen=True):
    """A question with the strings that answer it, as a line of `queries.jsonl` has them."""

    id: str = msgspec.field(name="_id")
    text: str = msgspec.field(name="text")
    answers: tuple[str, ...] = ()


class Reply(msgspec.Struct, frozen=True):
    """What an answerer said, and with which headers it was asked: they name its trace, if it has one."""

    text: str
    stop_reason: str
    confidence: float | None
    seconds: float
    headers: dict[str, str] = {}


class AnswerScores(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are of all questions; an answer is the text without its markers."""

    questions: int
    holds_gold: float
    abstained: float
    median_words: float
    median_s: float


def normalised_answer(text: str) -> str:
    """Lower case without articles and punctuation, single spaces: SQuAD's own comparison (Rajpurkar et al., 2016)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def holds_gold(answer: str, gold: Sequence[str]) -> bool:
    """Whether one of the gold answers stands in the answer, on word boundaries."""
    said = f" {normalised_answer(_MARKER.sub('', answer))} "
    wanted = [normalised_answer(text) for text in gold]
    return any(f" {text} " in said for text in wanted if text)


def read_judged(folder: Path) -> list[Judged]:
    """The questions of `queries.jsonl` that have gold answers. Raises ConfigError when there are none."""
    file = folder / "queries.jsonl"
    try:
        questions = [msgspec.json.decode(line, type=Judged) for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as fault:
        raise ConfigError(f"cannot read {file}: {fault.strerror}") from fault
    except msgspec.DecodeError as fault:
        raise ConfigError(f"{file} is not a file of judged questions: {fault}") from fault
    judged = [question for question in questions if question.answers]
    if not judged:
        raise ConfigError(f"no question in {file} has 'answers'")
    return judged


async def score_answers(
    questions: Sequence[Judged],
    ask: Callable[[str], Awaitable[Reply]],
    told: Callable[[Judged, Reply, bool], None] = lambda _question, _reply, _held: None,
) -> AnswerScores:
    """Asks every question, a few at a time, and counts. `told` hears of each as it is answered."""
    gate = asyncio.Semaphore(PARALLEL)

    async def one(question: Judged) -> tuple[Reply, bool]:
        async with gate:
            reply = await ask(question.text)
        held = holds_gold(reply.text, question.answers)
        told(question, reply, held)
        return reply, held

    results = await asyncio.gather(*map(one, questions))
    replies = [reply for reply, _ in results]
    n = len(questions)
    return AnswerScores(
        questions=n,
        holds_gold=sum(held for _, held in results) / n,
        abstained=sum(reply.stop_reason == "insufficient_evidence" for reply in replies) / n,
        median_words=_median([float(len(_MARKER.sub("", reply.text).split())) for reply in replies]),
        median_s=_median([reply.seconds for reply in replies]),
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
