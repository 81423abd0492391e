"""The service with nothing to compute: what is left of `/search` and `/ask` is our own code, the store and the door."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError
from rag.base.ports import Vectors
from rag.base.types import Finished, ModelEvent, Prompt, Role, TextDelta, Usage, Work
from rag.compose import Services, open_services
from rag.govern.keys import KeyRing
from rag.index.embedders.config import OnnxEmbedderConfig
from rag.index.factory import INDEX, open_store
from rag.index.filters import Fields
from rag.index.retriever import BatchedRetriever
from rag.infer.models import open_model
from rag.infer.tokens import load_counter
from rag.pipeline.answer import EXTRACTIVE, Answerer
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rag.settings import Settings
from rag.telemetry.measured import MeasuredAnswers
from rerank.none import NoReranker

_PIECES = ("The first ", "source says ", "what was asked, ", "and that is all ", "there is [1].")
_N_VECTORS = 64


@asynccontextmanager
async def open_stubbed(settings: Settings) -> AsyncIterator[Services]:
    """Services over the index of the data folder whose embedder and model answer at once. No answer is kept."""
    if not isinstance(settings.embedder, OnnxEmbedderConfig):
        raise ConfigError("this peer stands in for the ONNX embedder that the index was built with")
    folder = open_model(settings.embedder.model, "embed", settings.models_dir)
    embedder = _StubEmbedder(folder.revision, folder.card.dimension)
    counter = load_counter(folder.tokenizer)
    async with AsyncExitStack() as stack:
        blank = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundwire-bench-")))
        elsewhere = msgspec.structs.replace(settings, data_dir=blank)
        services = await stack.enter_async_context(open_services(elsewhere, KeyRing()))
        opened = open_store(
            settings.index,
            folder=settings.data_dir / INDEX,
            fields=Fields(settings.fields),
            fusion=settings.fusion,
            embedder_name=embedder.name,
            dimension=embedder.dimension,
        )
        store = await stack.enter_async_context(opened)
        retriever = BatchedRetriever(store)
        stack.push_async_callback(retriever.aclose)
        searcher = Searcher(embedder, retriever, NoReranker(), settings.answer)
        answerer = Answerer(
            searcher,
            {EXTRACTIVE: _StubModel()},
            Profiles(settings.answer),
            count=lru_cache(maxsize=8)(lambda text: len(counter.encode(text, add_special_tokens=False))),
            index=store.name,
        )
        yield replace(services, searcher=searcher, answerer=MeasuredAnswers(answerer, services.metrics))


class _StubEmbedder:
    """Vectors that were made before, chosen by the text."""

    max_length_tokens = 256

    def __init__(self, name: str, dimension: int) -> None:
        self.name = name
        self.dimension = dimension
        drawn = np.random.default_rng(0).standard_normal((_N_VECTORS, dimension), dtype=np.float32)
        self._vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        rows = [crc32(text.encode()) % _N_VECTORS for text in texts]
        return np.asarray(self._vectors[rows], dtype=np.float32)


class _StubModel:
    """Cites the first source."""

    name = "stub"

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        for piece in _PIECES:
            await asyncio.sleep(0)
            yield TextDelta(text=piece)
        yield Usage(input_tokens=prompt.n_tokens, output_tokens=len(_PIECES))
        yield Finished(reason="stop", model=self.name)
