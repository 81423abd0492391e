"""From settings to a reranker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import assert_never

from rag.base.ports import Reranker
from rag.telemetry.report import BatchReport
from rerank.blend import weight_for
from rerank.blended import BlendingReranker
from rerank.config import HttpRerankConfig, NoRerankConfig, OnnxRerankConfig, RerankConfig
from rerank.none import NoReranker
from rerank.shared import SharedScorer


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
            from rerank.onnx import OnnxScorer

            folder = open_model(config.model, "rerank", models_dir)
            model = await asyncio.to_thread(OnnxModel.load, folder, config.n_sessions, on_batch)
            try:
                scorer = SharedScorer(OnnxScorer(model), config.remembered_pairs)
                weigh = partial(weight_for, weight=config.weight)
                yield BlendingReranker(scorer, depth=config.depth, weigh=weigh)
            finally:
                await model.aclose()
        case HttpRerankConfig():
            from rag.infer.remote import Remote
            from rag.infer.transport import open_transport
            from rerank.http import HttpScorer

            async with open_transport(config.max_connections) as transport:
                remote = HttpScorer(config, Remote(config, "rerank", transport))
                shared = SharedScorer(remote, config.remembered_pairs)
                yield BlendingReranker(
                    shared,
                    depth=config.depth,
                    weigh=lambda _: config.weight,
                    scores_are_logits=config.dialect == "tei",
                )
        case _:
            assert_never(config)
