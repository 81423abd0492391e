"""The models in this process: the service's own path, and what else could run them, on the same texts.

Interleaved like the servers are. Each contender works through all of the texts as fast as it can; the pieces that it
takes them in are those of a bulk job for the embedder, and the pairs of one question for the cross-encoder.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from msgspec import Struct
from tokenizers import Tokenizer

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError
from rag.base.types import Lane, Work
from rag.bench.compare import interval
from rag.bench.corpus import Entry
from rag.bench.machine import Machine, this_machine
from rag.index.embedders.onnx import OnnxEmbedder
from rag.infer.models import ModelFolder, Task, open_model
from rag.infer.onnx import OnnxModel
from rag.infer.tokens import load_counter
from rerank.onnx import OnnxScorer

BATCH = 32
"""Rows of a padded batch, as sentence-transformers has it."""
DEPTH = 20
"""Passages that are read for one question."""

Job = tuple[str, Sequence[str]]
"""A question, empty for the embedder, and texts."""

Taken = dict[str, list[tuple[float, float]]]
"""Wall time and processor time of each repeat, by contender."""


class Contender(Struct, frozen=True):
    """One way to run the model; `at_once` is how many jobs it is given side by side."""

    name: str
    run: Callable[[Job], Awaitable[object]]
    at_once: int


class Speed(Struct, frozen=True, kw_only=True):
    """Medians of a contender's repeats. `ratio` is ours over its, of items a second, with its 95 % interval."""

    name: str
    items_per_s: float
    tokens_per_s: float
    cpu_ms_per_item: float
    ratio: tuple[float, float, float]


class ModelReport(Struct, frozen=True, kw_only=True):
    """What a benchmark of a model found; an item is a text or a pair."""

    title: str
    date: str
    machine: Machine
    n_items: int
    n_tokens: int
    repeats: int
    speeds: tuple[Speed, ...]


def jobs(task: Task, entries: Sequence[Entry], questions: Sequence[str], n_items: int) -> list[Job]:
    """The same for the same collection: texts by the batch, or twenty passages for each question."""
    draw = random.Random(0)  # noqa: S311 - a benchmark that can be repeated
    texts = [draw.choice(entries).text for _ in range(n_items)]
    if task == "embed":
        return [("", texts[at : at + BATCH]) for at in range(0, n_items, BATCH)]
    return [(draw.choice(questions), texts[at : at + DEPTH]) for at in range(0, n_items, DEPTH)]


def of_length(work: Sequence[Job], n_tokens: int, counter: Tokenizer) -> list[Job]:
    """The same work with every item repeated or cut to so many tokens, a pair with its question.

    Raises ConfigError when that leaves a pair no room for the passage.
    """
    return [(question, [_of_length(question, text, n_tokens, counter) for text in texts]) for question, texts in work]


def _of_length(question: str, text: str, n_tokens: int, counter: Tokenizer) -> str:
    n_around = len(counter.encode(question, "").ids if question else counter.encode("").ids)
    if n_tokens <= n_around:
        raise ConfigError(f"{n_tokens} tokens are too few: {n_around} are there before the text")
    n_words, encoded = n_tokens - n_around, counter.encode(text, add_special_tokens=False)
    while len(encoded.ids) < n_words:
        text = f"{text} {text}"
        encoded = counter.encode(text, add_special_tokens=False)
    return text[: encoded.offsets[n_words - 1][1]]


def single_jobs(questions: Sequence[str], n_items: int) -> list[Job]:
    """Questions one by one, as they come to an idle service."""
    return [("", [questions[number % len(questions)]]) for number in range(n_items)]


async def race(
    title: str, contenders: Sequence[Contender], work: Sequence[Job], repeats: int, counter: Tokenizer
) -> ModelReport:
    """Every contender through all of the work, `repeats` times by turns, after one job to warm up."""
    taken: Taken = {contender.name: [] for contender in contenders}
    for contender in contenders:
        await contender.run(work[0])
    for repeat in range(repeats):
        for at in range(len(contenders)):
            contender = contenders[(at + repeat) % len(contenders)]
            taken[contender.name].append(await through(contender, work))
    n_items = sum(len(texts) for _, texts in work)
    n_tokens = sum(_tokens(counter, job) for job in work)
    return ModelReport(
        title=title,
        date=datetime.now(UTC).isoformat(timespec="minutes"),
        machine=this_machine(),
        n_items=n_items,
        n_tokens=n_tokens,
        repeats=repeats,
        speeds=tuple(_speed(name, taken, contenders[0].name, n_items, n_tokens) for name in taken),
    )


def _speed(name: str, taken: Taken, ours: str, n_items: int, n_tokens: int) -> Speed:
    rates = [n_items / wall_s for wall_s, _ in taken[name]]
    return Speed(
        name=name,
        items_per_s=median(rates),
        tokens_per_s=median(rates) * n_tokens / n_items,
        cpu_ms_per_item=1000.0 * median(cpu_s for _, cpu_s in taken[name]) / n_items,
        ratio=interval([n_items / wall_s for wall_s, _ in taken[ours]], rates),
    )


@asynccontextmanager
async def contending(
    task: Task, *, fp32: str, original: str, one_by_one: bool = False
) -> AsyncIterator[tuple[list[Contender], Tokenizer]]:
    """The service's own path first, then the fp32 file and the original where their folders are given.

    With `one_by_one` the service is handed each text of a job by a caller of its own, as questions come; the others get
    their batch at once.
    """
    folder = open_model("all-minilm-l6-v2" if task == "embed" else "rerank-minilm-l6", task)
    model = await asyncio.to_thread(OnnxModel.load, folder)
    try:
        ours = _ours(task, model)
        contenders = [_apart(ours) if one_by_one else ours]
        if fp32:
            contenders.append(_padded(open_model(fp32, task)))
        if original:
            contenders.append(_torch(task, original))
        yield contenders, load_counter(folder.tokenizer)
    finally:
        await model.aclose()


@asynccontextmanager
async def idle_contending() -> AsyncIterator[tuple[list[Contender], Tokenizer]]:
    """The service's own path with nothing else to do, and the same file called directly, both on one thread."""
    folder = open_model("all-minilm-l6-v2", "embed")
    model = await asyncio.to_thread(OnnxModel.load, folder)
    try:
        yield [_ours("embed", model, "interactive", at_once=1), _direct(folder)], load_counter(folder.tokenizer)
    finally:
        await model.aclose()


def idle_cost_ms(report: ModelReport) -> float:
    """What the way to the model adds to one text, in ms."""
    ours, direct = report.speeds
    return 1000.0 / ours.items_per_s - 1000.0 / direct.items_per_s


def _ours(task: Task, model: OnnxModel, lane: Lane = "bulk", at_once: int = 4) -> Contender:
    work = Work(tenant="bench", deadline=Deadline(at_s=float("inf")), lane=lane, is_alone=at_once == 1)
    embedder, scorer = OnnxEmbedder(model), OnnxScorer(model)

    async def run(job: Job) -> object:
        question, texts = job
        if task == "embed":
            return await embedder.embed(texts, "passage", work)
        return await scorer.score(question, texts, work)

    return Contender("groundwire", run, at_once)


def _apart(contender: Contender) -> Contender:
    """One job at a time, with a caller for each of its texts."""

    async def run(job: Job) -> object:
        return await asyncio.gather(*(contender.run((job[0], [text])) for text in job[1]))

    return Contender(contender.name, run, at_once=1)


def _direct(folder: ModelFolder) -> Contender:
    """The file on the caller's own thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    infer = _inference(folder, ort.InferenceSession(str(folder.weights), options))

    async def run(job: Job) -> object:
        return infer(job)

    return Contender("called directly", run, at_once=1)


def _padded(folder: ModelFolder) -> Contender:
    """The file in padded batches, as most services run one: a session with onnxruntime's defaults."""
    infer = _inference(folder, ort.InferenceSession(str(folder.weights)))
    return Contender(f"{folder.card.precision} in padded batches", lambda job: asyncio.to_thread(infer, job), at_once=1)


def _inference(folder: ModelFolder, session: ort.InferenceSession) -> Callable[[Job], object]:
    """Tokenises a job and runs it as one padded batch."""
    tokenizer: Tokenizer = Tokenizer.from_file(str(folder.tokenizer))
    tokenizer.enable_truncation(max_length=folder.card.max_length_tokens)
    tokenizer.enable_padding()
    columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}

    def infer(job: Job) -> object:
        encoded = tokenizer.encode_batch([(job[0], text) for text in job[1]] if job[0] else list(job[1]))
        feeds = {
            name: np.array([getattr(row, columns[name]) for row in encoded], dtype=np.int64)
            for name in folder.card.inputs
        }
        return session.run([folder.card.output], feeds)

    return infer


def _torch(task: Task, original: str) -> Contender:
    try:
        from sentence_transformers import CrossEncoder, SentenceTransformer
    except ImportError as error:
        raise ConfigError("--original needs sentence-transformers: pip install 'groundwire[torch]'") from error
    model: Any = (SentenceTransformer if task == "embed" else CrossEncoder)(original, device="cpu")

    def infer(job: Job) -> object:
        if task == "embed":
            return model.encode(list(job[1]), batch_size=BATCH, show_progress_bar=False)
        return model.predict([(job[0], text) for text in job[1]], batch_size=BATCH, show_progress_bar=False)

    return Contender("sentence-transformers", lambda job: asyncio.to_thread(infer, job), at_once=1)


async def through(contender: Contender, work: Sequence[Job]) -> tuple[float, float]:
    """Wall time and processor time of one contender over all of the work."""
    left = iter(work)
    began_s, cpu_s = time.perf_counter(), time.process_time()

    async def hand() -> None:
        for job in left:
            await contender.run(job)

    await asyncio.gather(*(hand() for _ in range(contender.at_once)))
    return time.perf_counter() - began_s, time.process_time() - cpu_s


def _tokens(counter: Tokenizer, job: Job) -> int:
    pairs = [(job[0], text) for text in job[1]] if job[0] else list(job[1])
    return sum(len(row.ids) for row in counter.encode_batch(pairs))


def show(report: ModelReport) -> None:
    """Prints the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", title=report.title)
    for name in ("items/s", "tokens/s", "cpu ms an item", "groundwire / it", "95 %"):
        table.add_column(name, justify="right")
    for speed in report.speeds:
        value, low, high = speed.ratio
        figures = (f"{speed.items_per_s:.1f}", f"{speed.tokens_per_s:.0f}", f"{speed.cpu_ms_per_item:.2f}")
        table.add_row(speed.name, *figures, f"{value:.2f}", f"{low:.2f} to {high:.2f}")
    console = Console(width=max(100, Console().width))
    console.print(table)
    mean = report.n_tokens / report.n_items
    console.print(f"{report.n_items} items of {mean:.0f} tokens, {report.repeats} repeats", highlight=False)
    machine = report.machine
    console.print(f"{report.date}  {machine.cores} cores of {machine.cpu}, load {machine.load}", highlight=False)


def write(report: Struct, file: Path | None) -> None:
    """Writes the JSON where it is asked for."""
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
