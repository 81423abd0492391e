"""From settings to a reranker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import assert_never

from rag.base.ports import Reranker
from rag.telemetry.report import BatchReport
from rerank.blend import Blend
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
                shared = SharedScorer(OnnxScorer(model), config.remembered_pairs)
                blend = Blend(weight=config.weight, temperature=folder.card.temperature, likeness=config.likeness)
                yield BlendingReranker(shared, blend, depth=config.depth)
            finally:
                await model.aclose()
        case HttpRerankConfig():
            from rag.infer.remote import Remote
            from rag.infer.transport import open_transport
            from rerank.http import HttpScorer

            async with open_transport(config.max_connections) as transport:
                remote = HttpScorer(config, Remote(config, "rerank", transport))
                shared = SharedScorer(remote, config.remembered_pairs)
                blend, logits = Blend(weight=config.weight), config.dialect == "tei"
                yield BlendingReranker(shared, blend, depth=config.depth, scores_are_logits=logits)
        case _:
            assert_never(config)
