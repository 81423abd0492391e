"""The larger model whose scores a student learns, run through onnxruntime: several times faster than torch here."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np


def open_teacher(folder: Path, n_threads: int) -> Callable[[Sequence[dict[str, Any]]], Any]:
    """The scores `(n,) float32` of an exported cross-encoder, pair by pair on sessions of one thread each."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(str(folder / "model.onnx"), options) for _ in range(n_threads)]
    threads = ThreadPoolExecutor(n_threads)

    def part(first: int, rows: Sequence[dict[str, Any]]) -> list[float]:
        found = []
        for row in rows[first::n_threads]:
            feed = {name: np.asarray([values], dtype=np.int64) for name, values in row.items()}
            feed["attention_mask"] = np.ones_like(feed["input_ids"])
            found.append(float(sessions[first].run(None, feed)[0][0]))
        return found

    def scores(rows: Sequence[dict[str, Any]]) -> Any:
        out = np.empty(len(rows), dtype=np.float32)
        for first, found in enumerate(threads.map(lambda first: part(first, rows), range(n_threads))):
            out[first::n_threads] = found
        return out

    return scores
