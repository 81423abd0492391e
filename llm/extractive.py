"""Answers without a language model: the best-supported sentences of the sources, quoted, each with its marker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import get_args

from llm.abilities import Ability, left_out
from llm.config import ExtractiveConfig
from llm.evidence import Evidence, gathered, promising, scores
from llm.selection import chosen, confidence
from rag.base.deadline import Deadline
from rag.base.errors import DependencyError, LoadError
from rag.base.ports import Embedder
from rag.base.types import Finished, ModelEvent, Prompt, Source, TextDelta, Usage, Work

SentenceScorer = Callable[[str, Sequence[str], Work], Awaitable[Sequence[float]]]
"""How near in meaning each sentence is to the question, about 0 to 1, in order."""

LACKS: frozenset[Ability] = frozenset(get_args(Ability))
NAME = "extractive@1"
NEAR_MISSES = 3
READ_IN_THREAD_CHARS = 20_000  # some 6 ms of reading: more would hold the event loop while others stream


def embedding_scorer(embedder: Embedder) -> SentenceScorer:
    """Nearness as the cosine of embeddings."""

    async def nearness(question: str, sentences: Sequence[str], work: Work) -> Sequence[float]:
        asked, said = await asyncio.gather(
            embedder.embed([question], "query", work), embedder.embed(sentences, "passage", work)
        )
        return [float(value) for value in said @ asked[0]]

    return nearness


class ExtractiveModel:
    """A ChatModel that reads `prompt.question` and `prompt.sources` and leaves the messages alone.

    It is what is left when all else fails, so it does not fail: without its scorer, or without time for it, the words
    alone decide.
    """

    name = NAME

    def __init__(self, config: ExtractiveConfig, scorer: SentenceScorer) -> None:
        self._config = config
        self._scorer = scorer

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. Costs no tokens; `confidence` tells how likely the sources hold an answer.

        Raises nothing for a prompt of plain text, and InvalidInput for what only a language model could do.
        """
        dropped = left_out(prompt, LACKS, "the extractive model")
        evidence = await self._evidence(prompt)
        nearness = await self._nearness(prompt, evidence, deadline)
        ranked = scores(evidence, nearness)
        sureness = confidence(evidence, ranked, nearness)
        answers = sureness >= self._config.min_confidence
        texts = self._quotes(prompt, evidence, ranked) if answers else [refusal(prompt.sources, evidence, ranked)]
        for text in texts:
            yield TextDelta(text=text)
        yield Usage(input_tokens=0, output_tokens=0)
        yield Finished(
            reason="stop" if answers else "insufficient_evidence",
            model=self.name,
            confidence=round(sureness, 4),
            dropped=dropped,
        )

    async def _evidence(self, prompt: Prompt) -> Evidence:
        if sum(len(source.text) for source in prompt.sources) < READ_IN_THREAD_CHARS:
            return gathered(prompt.question, prompt.sources)
        return await asyncio.to_thread(gathered, prompt.question, prompt.sources)

    def _quotes(self, prompt: Prompt, evidence: Evidence, ranked: Sequence[float]) -> Iterable[str]:
        for index, sentence in enumerate(chosen(evidence, ranked, self._config.max_sentences)):
            yield f"{' ' if index else ''}{sentence.text} [{prompt.sources[sentence.source].marker}]"

    async def _nearness(self, prompt: Prompt, evidence: Evidence, deadline: Deadline) -> Mapping[int, float]:
        indexes = promising(evidence, self._config.max_embedded_sentences)
        if not indexes or deadline.expired():
            return {}
        work = Work(tenant=prompt.tenant, deadline=deadline)
        try:
            values = await self._scorer(prompt.question, [evidence.sentences[index].text for index in indexes], work)
        except (LoadError, DependencyError):
            return {}
        return dict(zip(indexes, values, strict=True))


def refusal(sources: Sequence[Source], evidence: Evidence, ranked: Sequence[float]) -> str:
    """What to say when nothing supports an answer: that, and which documents came closest."""
    order = sorted(range(len(ranked)), key=lambda index: -ranked[index])
    nearest = [sources[evidence.sentences[index].source] for index in order]
    titles = dict.fromkeys(" ".join((source.title or source.uri).split()) for source in nearest)
    if not titles:
        return "The documents do not answer this question."
    closest = "; ".join(list(titles)[:NEAR_MISSES])
    return f"The documents do not answer this question. Closest: {closest}."
