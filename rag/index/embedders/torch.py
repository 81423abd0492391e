"""The original of a bi-encoder on torch: for bulk ingestion on a GPU, and for models that cannot be exported.

torch and sentence-transformers are an optional extra, so they are imported inside the functions.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from rag.base.errors import ConfigError
from rag.base.ports import Vectors
from rag.base.types import Role, Work
from rag.index.embedders.config import TorchEmbedderConfig
from rag.index.embedders.wire import unit
from rag.infer.batcher import Batcher
from rag.infer.hub import require_torch_extra
from rag.infer.tokens import TokenRow, cut_at, text_rows, uncut
from rag.infer.turns import BatchLimits
from rag.telemetry.report import BatchReport

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
MAX_ROWS = 512


class TorchEmbedder:
    """An `Embedder` over a SentenceTransformer; batches of padded rows run one after the other in one thread.

    In float32 a vector depends on its batch by rounding alone (1e-6). In half precision, on CUDA, kernels are chosen by
    the batch's shape and the last digits move: that is the price of its speed.
    """

    def __init__(
        self, model: Any, revision: str, batch_tokens: int, on_batch: Callable[[BatchReport], None] | None = None
    ) -> None:
        self.name = revision
        self.dimension = int(model.get_embedding_dimension())
        self._model = model
        tokenizer = model.tokenizer.backend_tokenizer.to_str()
        self.counter = uncut(Tokenizer.from_str(tokenizer))
        self.max_length_tokens = int(model.max_seq_length or model.tokenizer.model_max_length)
        self._tokenizer = cut_at(Tokenizer.from_str(tokenizer), self.max_length_tokens)
        self._pad_id = int(model.tokenizer.pad_token_id or 0)
        prompts = model.prompts
        self._prefixes: dict[Role, str] = {
            "query": prompts.get("query") or "",
            "passage": prompts.get("document") or prompts.get("passage") or "",
        }
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="torch-embed")
        limits = BatchLimits(max_items=MAX_ROWS, interactive_tokens=batch_tokens, bulk_tokens=batch_tokens, padded=True)
        self._batcher: Batcher[TokenRow, Vectors] = Batcher("embed", self._in_thread, limits=limits, on_batch=on_batch)

    @classmethod
    def load(
        cls, config: TorchEmbedderConfig, folder: Path, on_batch: Callable[[BatchReport], None] | None = None
    ) -> "TorchEmbedder":
        """The model in `folder` on its device, in half precision on CUDA. Raises ConfigError. Blocks."""
        require_torch_extra("the embedder of the kind 'torch'")
        from sentence_transformers import SentenceTransformer

        device = None if config.device == "auto" else config.device
        try:
            model = SentenceTransformer(str(folder), device=device, local_files_only=True, trust_remote_code=False)
        except Exception as fault:  # torch and transformers raise whatever they like
            raise ConfigError(f"cannot load {folder} on device '{config.device}': {type(fault).__name__}") from fault
        if model.device.type == "cuda":
            model = model.half()
        revision = f"{Path(config.model).name}@{fingerprint(folder)[:12]}"
        embedder = cls(model.eval(), revision, config.batch_tokens, on_batch)
        embedder._run([TokenRow((embedder._pad_id,) * 8, (0,) * 8)])
        return embedder

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        """See `rag.base.ports.Embedder`."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        prefixed = [self._prefixes[role] + text for text in texts]
        rows = await asyncio.to_thread(text_rows, self._tokenizer, prefixed)
        vectors = await self._batcher.submit_all([(row, len(row)) for row in rows], work)
        return np.stack([vector for vector, _ in vectors])

    async def aclose(self) -> None:
        """Ends the queue, then the thread."""
        await self._batcher.aclose()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, rows: list[TokenRow]) -> Sequence[Vectors]:
        return list(await asyncio.get_running_loop().run_in_executor(self._thread, self._run, rows))

    def _run(self, rows: list[TokenRow]) -> Vectors:
        import torch

        longest = max(1, *(len(row) for row in rows))
        ids = np.full((len(rows), longest), self._pad_id, dtype=np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(row)], types[at, : len(row)] = row.ids, row.types
            mask[at, : max(len(row), 1)] = 1  # a row without any token would have no mean
        feed = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._model.tokenizer.model_input_names:
            feed["token_type_ids"] = types
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values).to(self._model.device) for name, values in feed.items()}
            output = self._model(tensors)["sentence_embedding"].float().cpu().numpy()
        return unit(output, f"model '{self.name}'")


def fingerprint(folder: Path) -> str:
    """The sha256 of the weights in a folder, in hex. Raises ConfigError where there are none."""
    files = sorted({file for pattern in WEIGHTS for file in folder.rglob(pattern)})
    if not files:
        raise ConfigError(f"{folder} holds no weights ({', '.join(WEIGHTS)})")
    hashed = sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                hashed.update(block)
    return hashed.hexdigest()
