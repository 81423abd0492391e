"""Runs ONNX models: several single-thread sessions side by side, fed by batchers."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rag.base.errors import ConfigError
from rag.base.priority import BULK, COMPUTING, step_back
from rag.base.types import Work
from rag.infer.batcher import Batcher
from rag.infer.models import ModelFolder
from rag.infer.timing import Timing
from rag.infer.tokens import TokenRow
from rag.infer.turns import BatchLimits
from rag.telemetry.report import BatchReport

Output = NDArray[np.float32]

RUN_TOKENS = 384
"""Padded tokens of one run. On one core rows of up to 48 tokens are 1.3 to 1.6 times faster together than alone, and
rows of 64 and more are no faster (AVX512-VNNI, 2026-11-23): with this bound those pair up at most sixfold."""

QUESTION_TOKENS = 256
"""Of questions that are embedded together, and for which a second session starts beside a first. One costs 3.0 ms of
CPU, of four 1.3, of sixteen 1.0, and more only make others wait; with both sessions of 2 cores always busy a search
cost 3.7 ms instead of 3.2 (2026-11-23). With more cores there is more to lose by waiting, so they share this number.
Pairs of question and passage are too long to gain from company."""

MAX_PAD_WASTE = 0.15
"""The share of a run that may be padding."""

WARM_UP_LENGTHS = (8, 32, 128)
"""Tokens. One run of each makes onnxruntime allocate its arenas before the first question needs them."""


def usable_cores() -> int:
    """The cores this process may run on: its affinity, not the machine's count."""
    return len(os.sched_getaffinity(0))


class OnnxModel:
    """One model, and two crews that run it: for those who ask, and behind them for bulk work.

    Each has a queue and sessions of its own, so that no question waits for a bulk batch to end: the processor goes from
    one to the other. Build it with `load`, end it with `aclose`.
    """

    def __init__(
        self, folder: ModelFolder, n_sessions: int, on_batch: Callable[[BatchReport], None] | None = None
    ) -> None:
        self.folder = folder
        task = folder.card.task
        self._crew = _Crew(task, folder, n_sessions, COMPUTING)
        self._crew_behind = _Crew(f"{task}-behind", folder, n_sessions, BULK)
        self._batcher: Batcher[TokenRow, Output] = Batcher(
            task, self._crew.run, here=self._crew.run_here, limits=_limits(folder, n_sessions), on_batch=on_batch
        )
        self._batcher_behind: Batcher[TokenRow, Output] = Batcher(
            f"{task}_bulk", self._crew_behind.run, limits=_limits_behind(n_sessions), on_batch=on_batch
        )

    @classmethod
    def load(
        cls, folder: ModelFolder, n_sessions: int = 0, on_batch: Callable[[BatchReport], None] | None = None
    ) -> "OnnxModel":
        """Loads and warms the model; `n_sessions=0` is one for each usable core. Raises ConfigError. Blocks."""
        model = cls(folder, n_sessions or usable_cores(), on_batch)
        model._crew.warm_up()
        return model

    async def run(self, rows: Sequence[TokenRow], work: Work) -> list[tuple[Output, Timing]]:
        """The model's output for each row, in order. Raises Overloaded, DeadlineExceeded, Unavailable."""
        batcher = self._batcher_behind if work.lane == "bulk" else self._batcher
        return await batcher.submit_all([(row, len(row)) for row in rows], work)

    def predicted_wait_s(self) -> float:
        """How long a new question would wait for this model."""
        return self._batcher.predicted_wait_s()

    async def aclose(self) -> None:
        """Ends the queues, then the threads."""
        for batcher, crew in ((self._batcher, self._crew), (self._batcher_behind, self._crew_behind)):
            await batcher.aclose()
            crew.close()


class _Crew:
    """Single-thread sessions on as many threads of one priority.

    A model whose output depends on its batch (onnxruntime's dynamic int8) runs one row at a time, so that a text has
    the same result whatever else is in flight; others run rows of like length together where that is faster.
    """

    def __init__(self, name: str, folder: ModelFolder, n_sessions: int, steps_back: int) -> None:
        self._folder = folder
        self._n_sessions = n_sessions
        self._run_tokens = 0 if folder.card.output_depends_on_batch else RUN_TOKENS
        self._idle: deque[ort.InferenceSession] = deque()
        self._threads = ThreadPoolExecutor(n_sessions, f"onnx-{name}", partial(step_back, steps_back))

    async def run(self, rows: list[TokenRow]) -> Sequence[Output]:
        """The output for each row, computed in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, rows)

    async def run_here(self, rows: list[TokenRow]) -> Sequence[Output]:
        """The same without leaving the event loop; only while fewer runs are going on than there are sessions."""
        return self._run(rows)

    def warm_up(self) -> None:
        """Makes all sessions and runs each once for every length. Raises ConfigError. Blocks."""
        self._idle.extend(_session(self._folder) for _ in range(self._n_sessions))
        lengths = [min(length, self._folder.card.max_length_tokens) for length in WARM_UP_LENGTHS]
        rows = [TokenRow((101,) * length, (0,) * length) for length in lengths]
        warmed = self._threads.map(lambda session: [self._infer(session, [row]) for row in rows], tuple(self._idle))
        list(warmed)  # raises what they raised

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, rows: list[TokenRow]) -> list[Output]:
        # At most as many batches run as there are sessions. The one that ran last has its weights in the processor's
        # cache still: a lone question takes 1.2 ms of CPU there, and 1.8 where two sessions take turns (2026-11-23).
        session = self._idle.pop() if self._idle else _session(self._folder)
        try:
            outputs: dict[int, Output] = {}
            for together in runs_of([len(row) for row in rows], self._run_tokens):
                results = self._infer(session, [rows[index] for index in together])
                outputs.update(zip(together, results, strict=True))
            return [outputs[index] for index in range(len(rows))]
        finally:
            self._idle.append(session)

    def _infer(self, session: ort.InferenceSession, rows: list[TokenRow]) -> Output:
        card = self._folder.card
        longest = max(len(row) for row in rows)
        feeds = {name: np.zeros((len(rows), longest), dtype=np.int64) for name in card.inputs}
        for at, row in enumerate(rows):
            feeds["input_ids"][at, : len(row)] = row.ids
            feeds["attention_mask"][at, : len(row)] = 1
            if "token_type_ids" in feeds:
                feeds["token_type_ids"][at, : len(row)] = row.types
        (output,) = session.run([card.output], feeds)
        if card.pooling == "mean" and not card.pooled_in_graph:
            output = mean_pooled(output, feeds["attention_mask"])
        return np.asarray(output, dtype=np.float32)


def _limits(folder: ModelFolder, n_sessions: int) -> BatchLimits:
    if folder.card.task != "embed":
        return BatchLimits(n_parallel=n_sessions, interactive_tokens=512)
    return BatchLimits(
        n_parallel=n_sessions,
        interactive_tokens=QUESTION_TOKENS,
        beside_tokens=QUESTION_TOKENS // (n_sessions - 1) if n_sessions > 1 else 0,
    )


def _limits_behind(n_sessions: int) -> BatchLimits:
    """One batch more than sessions: it lies ready when one of the others ends."""
    return BatchLimits(n_parallel=n_sessions + 1, bulk_tokens=1_024)


def runs_of(lengths: Sequence[int], run_tokens: int) -> list[list[int]]:
    """Which rows to run together, as indices: each once, of like length, at most `run_tokens` padded tokens a run.

    A row longer than that runs alone, as every row does with `run_tokens=0`.
    """
    runs: list[list[int]] = []
    n_tokens = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[runs[-1][0]] if runs else 0
        padded = longest * (len(runs[-1]) + 1) if runs else 0
        fits = runs and padded <= run_tokens and padded - n_tokens - lengths[index] <= MAX_PAD_WASTE * padded
        if fits:
            runs[-1].append(index)
            n_tokens += lengths[index]
        else:
            runs.append([index])
            n_tokens = lengths[index]
    return runs


def mean_pooled(tokens: Output, mask: NDArray[np.int64]) -> Output:
    """Unit vectors (n, dim) from token vectors (n, length, dim): the mean over the tokens that are not padding."""
    weights = mask[:, :, None].astype(np.float32)
    summed = (tokens * weights).sum(axis=1)
    pooled = summed / np.maximum(weights.sum(axis=1), 1.0)
    return np.asarray(pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _session(folder: ModelFolder) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without spinning, an idle session costs nothing; with one thread there is nobody to spin for.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(folder.weights), options, providers=["CPUExecutionProvider"])
    except Exception as fault:  # onnxruntime raises a family of its own without a common root
        raise ConfigError(
            f"cannot load {folder.weights}: {type(fault).__name__}; `rag models verify` checks it"
        ) from fault
