"""Working stand-ins for the ports: small, deterministic, and held to the same contracts as the adapters."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence

import numpy as np

from rag.base.deadline import Deadline
from rag.base.ports import Vectors
from rag.base.types import Candidate, Finished, ModelEvent, Prompt, Role, TextDelta, Usage, Work


class HashingEmbedder:
    """A bag of hashed words: equal texts get equal vectors, texts that share words are near."""

    name = "hashing@1"
    max_length_tokens = 32

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension
        self.n_embedded = 0

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        self.n_embedded += len(texts)
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[0] = 1e-3
            for word in text.lower().split():
                row[zlib.crc32(word.encode("utf-8", "surrogatepass")) % self.dimension] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class ReversingReranker:
    """Turns the order around, so that a test sees that it was asked."""

    name = "reversing@1"
    scores_are_logits = True

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        return [float(len(set(question.split()) & set(passage.split()))) for passage in passages]

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        return list(reversed(candidates))[:limit]


class ScriptedModel:
    """Streams the given text in pieces of `step` characters, then fails if told to."""

    name = "scripted@1"

    def __init__(self, text: str, *, step: int = 5, failure: Exception | None = None) -> None:
        self.text = text
        self.step = step
        self.failure = failure
        self.prompts: list[Prompt] = []

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        self.prompts.append(prompt)
        for at in range(0, len(self.text), self.step):
            await asyncio.sleep(0)
            yield TextDelta(text=self.text[at : at + self.step])
        if self.failure:
            raise self.failure
        yield Usage(input_tokens=prompt.n_tokens, output_tokens=len(self.text.split()))
        yield Finished(reason="stop", model=self.name)


class QuotingModel:
    """Quotes the whole of every source, each with its marker: whatever leaks into the context leaks into the answer."""

    name = "quoting@1"

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        for source in prompt.sources:
            yield TextDelta(text=f"{source.text} [{source.marker}] ")
        yield Finished(reason="stop" if prompt.sources else "insufficient_evidence", model=self.name)
