"""What sentence-transformers itself makes of a model folder: the yardstick of an export."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag.infer.source import Floats, Source


def reference(folder: Path, source: Source, batch: Sequence[Any]) -> Floats:
    """Embeddings `(n, dim)` of texts without any prefix, or raw scores `(n,)` of (question, passage) pairs."""
    return _embeddings(folder, source, batch) if source.task == "embed" else _scores(folder, source, batch)


def _embeddings(folder: Path, source: Source, texts: Sequence[str]) -> Floats:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True).float()
    model.max_seq_length = source.max_length_tokens
    model.default_prompt_name = None
    return np.asarray(model.encode(list(texts), show_progress_bar=False), dtype=np.float32)


def _scores(folder: Path, source: Source, pairs: Sequence[tuple[str, str]]) -> Floats:
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", local_files_only=True, max_length=source.max_length_tokens).float()
    scores = model.predict(list(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False)
    return np.asarray(scores, dtype=np.float32).reshape(-1)
