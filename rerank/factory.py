"""From settings to a reranker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import assert_never

from rag.base.ports import Reranker
from rag.infer.batcher import BatchReport
from rerank.config import HttpRerankConfig, NoRerankConfig, OnnxRerankConfig, RerankConfig
from rerank.none import NoReranker


@asynccontextmanager
async def open_reranker(
    config: RerankConfig, models_dir: Path, on_batch: Callable[[BatchReport], None] | None = None
) -> AsyncIterator[Reranker]:
    """A reranker, warmed up where it is in this process; closed at the end. Raises ConfigError."""
    match config:
        case NoRerankConfig():
            yield NoReranker()
        case OnnxRerankConfig():
            from rag.infer.models import open_model
            from rag.infer.onnx import OnnxModel
            from rerank.onnx import OnnxReranker

            folder = open_model(config.model, "rerank", models_dir)
            model = await asyncio.to_thread(OnnxModel.load, folder, config.n_sessions, on_batch)
            try:
                yield OnnxReranker(model, depth=config.depth, weight=config.weight)
            finally:
                await model.aclose()
        case HttpRerankConfig():
            from rag.infer.remote import Remote
            from rag.infer.transport import open_transport
            from rerank.http import HttpReranker

            async with open_transport(config.max_connections) as transport:
                yield HttpReranker(config, Remote(config, "rerank", transport))
        case _:
            assert_never(config)
