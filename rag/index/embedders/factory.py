"""Opens the embedder that the settings name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import assert_never

from tokenizers import Tokenizer

from rag.base.ports import Embedder
from rag.index.embedders.config import EmbedderConfig, HttpEmbedderConfig, OnnxEmbedderConfig, TorchEmbedderConfig
from rag.infer.models import open_model, tokenizer_file
from rag.infer.tokens import load_counter
from rag.telemetry.report import BatchReport

OnBatch = Callable[[BatchReport], None]
Opened = tuple[Embedder, Tokenizer]
"""The embedder, and a tokenizer that measures texts of any length as its model does (nearly so, for a remote one)."""


def open_embedder(
    config: EmbedderConfig, models_dir: Path, on_batch: OnBatch | None = None
) -> AbstractAsyncContextManager[Opened]:
    """The embedder, warmed up where it is in this process; closed on leaving. Raises ConfigError."""
    # Imported where chosen: nobody pays at start for an engine that another one uses.
    match config:
        case OnnxEmbedderConfig():
            return _onnx(config, models_dir, on_batch)
        case TorchEmbedderConfig():
            return _torch(config, on_batch)
        case HttpEmbedderConfig():
            return _http(config, models_dir, on_batch)
        case _:
            assert_never(config)


@asynccontextmanager
async def _onnx(config: OnnxEmbedderConfig, models_dir: Path, on_batch: OnBatch | None) -> AsyncIterator[Opened]:
    from rag.index.embedders.onnx import OnnxEmbedder
    from rag.infer.onnx import OnnxModel

    folder = open_model(config.model, "embed", models_dir)
    model = await asyncio.to_thread(OnnxModel.load, folder, config.n_sessions, on_batch)
    try:
        yield OnnxEmbedder(model), load_counter(folder.tokenizer)
    finally:
        await model.aclose()


@asynccontextmanager
async def _torch(config: TorchEmbedderConfig, on_batch: OnBatch | None) -> AsyncIterator[Opened]:
    from rag.index.embedders.torch import TorchEmbedder
    from rag.infer.hub import original

    embedder = await asyncio.to_thread(lambda: TorchEmbedder.load(config, original(config.model), on_batch))
    try:
        yield embedder, embedder.counter
    finally:
        await embedder.aclose()


@asynccontextmanager
async def _http(config: HttpEmbedderConfig, models_dir: Path, on_batch: OnBatch | None) -> AsyncIterator[Opened]:
    from rag.index.embedders.http import HttpEmbedder
    from rag.infer.remote import Remote
    from rag.infer.transport import open_transport

    counter = load_counter(tokenizer_file(config.tokenizer, models_dir))
    async with open_transport(config.max_connections) as transport:
        embedder = HttpEmbedder(config, Remote(config, "embeddings", transport), counter, on_batch)
        try:
            yield embedder, counter
        finally:
            await embedder.aclose()
