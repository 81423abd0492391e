"""An embedder behind OpenAI's `/embeddings`: TEI, Infinity, vLLM, OpenAI and others."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from tokenizers import Tokenizer

from rag.base.deadline import Deadline
from rag.base.errors import DeadlineExceeded
from rag.base.ports import Vectors
from rag.base.types import Role, Work
from rag.index.embedders.config import HttpEmbedderConfig
from rag.index.embedders.wire import body_of, vectors_of
from rag.infer.batcher import Batcher
from rag.infer.remote import Refused, Remote
from rag.infer.turns import BatchLimits
from rag.telemetry.report import BatchReport

NOT_THE_TEXTS_FAULT = frozenset({404, 405})
TOKENISED_IN_THREAD = 8
"""From this many texts on tokenising would hold the event loop for milliseconds."""


class _Text(Struct, frozen=True):
    text: str
    deadline: Deadline


class _Divide(Exception):
    """One of several texts was refused: the batcher halves the batch until that one stands alone."""


class HttpEmbedder:
    """An `Embedder` over a remote one. That a vector does not depend on its batch is the server's promise, not ours."""

    def __init__(
        self,
        config: HttpEmbedderConfig,
        remote: Remote,
        counter: Tokenizer,
        on_batch: Callable[[BatchReport], None] | None = None,
    ) -> None:
        self.name = f"{config.model}@{config.revision}" if config.revision else config.model
        self.dimension = config.dimension
        self.max_length_tokens = config.max_length_tokens
        self._config = config
        self._remote = remote
        self._counter = counter
        self._prefixes: dict[Role, str] = {"query": config.query_prefix, "passage": config.passage_prefix}
        self._max_text_tokens = config.max_length_tokens - counter.num_special_tokens_to_add(is_pair=False)
        n_tokens = config.batch_texts * config.max_length_tokens
        self._batcher: Batcher[_Text, Vectors] = Batcher(
            "embed",
            self._run,
            limits=BatchLimits(
                n_parallel=config.max_connections,
                max_items=config.batch_texts,
                interactive_tokens=n_tokens,
                bulk_tokens=n_tokens,
            ),
            on_batch=on_batch,
        )

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        """See `rag.base.ports.Embedder`; raises BadDependency too, for a reply that makes no sense."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        prefixed = [self._prefixes[role] + text for text in texts]
        in_thread = len(texts) >= TOKENISED_IN_THREAD
        cut = await asyncio.to_thread(self._cut, prefixed) if in_thread else self._cut(prefixed)
        items = [(_Text(text, work.deadline), n_tokens) for text, n_tokens in cut]
        try:
            async with asyncio.timeout(work.deadline.remaining_s()):
                return np.stack([vector for vector, _ in await self._batcher.submit_all(items, work)])
        except TimeoutError as fault:
            raise DeadlineExceeded(f"{self._remote.target} did not answer by the deadline of the request") from fault

    async def aclose(self) -> None:
        """Ends the queue and waits for the calls that run."""
        await self._batcher.aclose()

    def _cut(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        """Each text within the limit, with its length in tokens. Servers refuse empty texts: they get a space."""
        cut = []
        encodings = self._counter.encode_batch(list(texts), add_special_tokens=False)
        for text, encoding in zip(texts, encodings, strict=True):
            n_tokens = min(len(encoding.ids), self._max_text_tokens)
            whole = n_tokens == len(encoding.ids)
            cut.append(((text if whole else text[: encoding.offsets[n_tokens - 1][1]]) or " ", max(n_tokens, 1)))
        return cut

    async def _run(self, items: list[_Text]) -> Sequence[Vectors]:
        body = body_of(
            self._config.model,
            [item.text for item in items],
            self.dimension if self._config.ask_dimension else None,
        )
        latest = Deadline(max(item.deadline.at_s for item in items))
        try:
            reply = await self._remote.post(body, latest)
        except Refused as refused:
            if len(items) > 1 and refused.status not in NOT_THE_TEXTS_FAULT:
                raise _Divide from refused
            raise
        return list(vectors_of(reply, len(items), self.dimension, self._remote.target))
