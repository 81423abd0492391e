"""Our own door and index with the models called as most services call them: each request by itself, in a thread.

Everything else is the same, so the difference is what the scheduler is worth.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import onnxruntime as ort
from msgspec import Struct
from tokenizers import Tokenizer

from rag.base.errors import ConfigError, GroundwireError
from rag.base.ports import Retrieval, Vectors
from rag.base.types import Candidate, Role, Work
from rag.compose import Services, open_services
from rag.govern.keys import KeyRing
from rag.index.embedders.config import OnnxEmbedderConfig
from rag.index.factory import INDEX, open_store
from rag.index.filters import Fields
from rag.index.retriever import SearchesInBatches
from rag.infer.models import ModelFolder, open_model
from rag.pipeline.search import Searcher
from rag.settings import Settings
from rerank.blend import Blend
from rerank.blended import BlendingReranker
from rerank.config import OnnxRerankConfig

N_THREADS = 40
"""As many as the thread pool of Starlette and FastAPI has."""

Result = TypeVar("Result")
Embed = Callable[[Sequence[str]], Vectors]
Score = Callable[[str, Sequence[str]], list[float]]


class Models(Struct, frozen=True):
    """Two functions that block. `name` is that of the embedder whose vectors the index holds."""

    name: str
    dimension: int
    embed: Embed
    score: Score


def onnx_models(settings: Settings) -> Models:
    """The configured ONNX files with onnxruntime's defaults: one session each, as many threads as there are cores."""
    if not isinstance(settings.embedder, OnnxEmbedderConfig):
        raise ConfigError("this peer runs the ONNX embedder that the index was built with")
    reranker = settings.reranker if isinstance(settings.reranker, OnnxRerankConfig) else OnnxRerankConfig()
    embedder = open_model(settings.embedder.model, "embed", settings.models_dir)
    encode = _OnnxCalls(embedder)
    read = _OnnxCalls(open_model(reranker.model, "rerank", settings.models_dir))
    return Models(
        embedder.revision,
        embedder.card.dimension,
        lambda texts: encode(list(texts)),
        lambda question, passages: [
            float(score) for score in read([(question, passage) for passage in passages]).reshape(-1)
        ],
    )


def torch_models(settings: Settings, embedder: str, reranker: str) -> Models:
    """The originals in sentence-transformers. Raises ConfigError when it is not installed."""
    try:
        from sentence_transformers import CrossEncoder, SentenceTransformer
    except ImportError as error:
        raise ConfigError("this peer needs sentence-transformers: pip install 'groundwire[torch]'") from error
    indexed = onnx_models(settings)
    encoder, cross = SentenceTransformer(embedder, device="cpu"), CrossEncoder(reranker, device="cpu")

    def embed(texts: Sequence[str]) -> Vectors:
        return np.asarray(encoder.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), np.float32)

    def score(question: str, passages: Sequence[str]) -> list[float]:
        pairs = [(question, passage) for passage in passages]
        return [float(value) for value in cross.predict(pairs, show_progress_bar=False)]

    return Models(indexed.name, indexed.dimension, embed, score)


@asynccontextmanager
async def open_unbatched(settings: Settings, models: Models) -> AsyncIterator[Services]:
    """Services whose search runs every request by itself. Only `/search` is meant to be asked."""
    fields = Fields(settings.fields)
    opened = open_store(
        settings.index,
        folder=settings.data_dir / INDEX,
        fields=fields,
        fusion=settings.fusion,
        embedder_name=models.name,
        dimension=models.dimension,
    )
    with ThreadPoolExecutor(N_THREADS) as threads, tempfile.TemporaryDirectory() as blank:
        elsewhere = msgspec.structs.replace(settings, data_dir=Path(blank))
        async with opened as store, open_services(elsewhere, KeyRing()) as services:
            in_thread = _InThread(threads, models)
            searcher = Searcher(in_thread, _OneByOne(store), _reranker(in_thread, settings), settings.answer)
            yield replace(services, searcher=searcher)


def _reranker(in_thread: "_InThread", settings: Settings) -> BlendingReranker:
    config = settings.reranker if isinstance(settings.reranker, OnnxRerankConfig) else OnnxRerankConfig()
    card = open_model(config.model, "rerank", settings.models_dir).card
    blend = Blend(weight=config.weight, temperature=card.temperature, likeness=config.likeness)
    return BlendingReranker(in_thread, blend, depth=config.depth)


class _InThread:
    """An `Embedder` and a `Scorer` of blocking calls."""

    max_length_tokens = 0  # matters to /v1/embeddings only, which nobody asks here

    def __init__(self, threads: ThreadPoolExecutor, models: Models) -> None:
        self.name = models.name
        self.dimension = models.dimension
        self._threads = threads
        self._models = models

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        return await self._run(lambda: self._models.embed(texts))

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        return await self._run(lambda: self._models.score(question, passages)) if passages else []

    async def _run(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class _OneByOne:
    """A `Retriever` with a store call for each question."""

    def __init__(self, store: SearchesInBatches) -> None:
        self._store = store

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        (outcome,) = await self._store.search_batch([request])
        if isinstance(outcome, GroundwireError):
            raise outcome
        return outcome


class _OnnxCalls:
    """One session and its tokenizer, as onnxruntime's and tokenizers' first examples use them."""

    def __init__(self, folder: ModelFolder) -> None:
        self._card = folder.card
        self._session = ort.InferenceSession(str(folder.weights))
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder.tokenizer))
        self._tokenizer.enable_truncation(max_length=folder.card.max_length_tokens)
        self._tokenizer.enable_padding()

    def __call__(self, inputs: list[Any]) -> Vectors:
        """The output for texts or pairs of texts, in one padded run."""
        encoded = self._tokenizer.encode_batch(inputs)
        columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        feeds = {
            name: np.array([getattr(row, columns[name]) for row in encoded], dtype=np.int64)
            for name in self._card.inputs
        }
        (output,) = self._session.run([self._card.output], feeds)
        return np.asarray(output, dtype=np.float32)
