"""From settings to a reranker."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import assert_never

from rag.base.ports import Reranker
from rag.infer.batcher import BatchReport
from rerank.config import NoRerankConfig, OnnxRerankConfig, RerankConfig
from rerank.none import NoReranker


@asynccontextmanager
async def open_reranker(
    config: RerankConfig, on_batch: Callable[[BatchReport], None] | None = None
) -> AsyncIterator[Reranker]:
    """A warmed-up reranker, closed at the end. Raises ConfigError."""
    match config:
        case NoRerankConfig():
            yield NoReranker()
        case OnnxRerankConfig():
            from rag.infer.models import open_model
            from rag.infer.onnx import OnnxModel
            from rerank.onnx import OnnxReranker

            model = OnnxModel.load(open_model(config.model, "rerank"), config.n_sessions, on_batch)
            try:
                yield OnnxReranker(model, depth=config.depth, weight=config.weight)
            finally:
                await model.aclose()
        case _:
            assert_never(config)
