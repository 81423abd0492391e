"""Turn a trained transformer folder into a model folder that the server can run.

A model folder holds `model.onnx`, `tokenizer.json` and `card.json`. The graph takes `input_ids`, `attention_mask`
and, for a cross-encoder that tells its two texts apart, `token_type_ids`, all `(n, length) int64` and padded on the
right. It gives `embedding (n, dim) float32`, pooled and scaled to length one inside the graph, or `scores (n,)
float32`. torch, transformers and onnx are needed here and nowhere else, so they are imported inside the functions.

The plain traced graph is used on purpose: onnxruntime's own load-time optimiser fuses it, and the contrib `Attention`
operator ran 12 to 15 % slower in int8 (EPYC Zen 5, 2 cores, onnxruntime 1.32, 2026-11-23). `quantise.py` says how the
weights become int8.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from rag.infer.quantise import quantise
from rag.infer.reference import reference
from rag.infer.source import ExportError, Feed, Floats, Source, Task, load

Precision: TypeAlias = Literal["int8", "fp32"]
CARD_PRECISION: Mapping[Precision, str] = {"int8": "int8-per-token", "fp32": "fp32"}

OPSET = 17
MIN_COSINE = 0.9999
MAX_EMBEDDING_DELTA = 1e-4  # a correct float32 export differs by about 2e-7: this leaves room for other machines only
MAX_SCORE_DELTA = 1e-3
MIN_INT8_COSINE = 0.98
MAX_BATCH_DELTA = 1e-5
PARITY_TEXTS = (
    "How do I rotate the signing key without losing sessions?",
    "Refunds are possible within thirty days of purchase, provided that the licence has not been activated.",
    "error 0x80070057",
    "Die Rechnung ist innerhalb von 14 Tagen zu bezahlen.",
    "The quick brown fox jumps over the lazy dog. " * 6,
    "A cross-encoder reads the question and the passage together, which is slower and more exact. " * 4,
    "yes",
    "Mitochondria are often called the powerhouse of the cell; they make most of its adenosine triphosphate.",
)


class ParityError(ExportError):
    """The exported graph and the original model disagree by more than is allowed."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What the folder cannot say about itself, given by the person who exports it.

    A prefix of None is the one that the folder names.
    """

    name: str
    task: Task
    licence: str
    source: str
    created: str
    max_length_tokens: int | None = None
    precision: Precision = "int8"
    query_prefix: str | None = None
    passage_prefix: str | None = None
    temperature: float | None = None
    metrics: Mapping[str, Any] = msgspec.field(default_factory=dict)
    training: Mapping[str, Any] = msgspec.field(default_factory=dict)
    credits: Sequence[Mapping[str, str]] = ()


def export(folder: Path, target: Path, recipe: Recipe) -> dict[str, Any]:
    """Export the model in `folder` into the model folder `target`; returns the card that was written.

    Raises `ExportError` for a folder that is no model of this task and `ParityError` when the graph, before or after
    quantisation, does not do what the original does. `target` is written only after every check has passed.
    """
    source = load(folder, recipe.task, recipe.max_length_tokens)
    feeds = parity_feeds(source)
    with tempfile.TemporaryDirectory() as scratch:
        traced, small = Path(scratch) / "fp32.onnx", Path(scratch) / "model.onnx"
        trace(source, traced)
        parity = check_parity(source, traced, feeds) | check_reference(folder, source, traced)
        if recipe.precision == "int8":
            quantise(traced, small)
            parity |= check_quantised(source, small, feeds)
        else:
            parity |= check_rows_alone(single_file(traced), feeds)
            traced.rename(small)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(small, target / "model.onnx")
    write_tokenizer(source, target / "tokenizer.json")
    card = make_card(source, recipe, parity, target)
    (target / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def parity_feeds(source: Source) -> list[Feed]:
    """The batches to compare on, as token ids."""
    return [encode(source, batch) for batch in parity_batches(source)]


def parity_batches(source: Source) -> list[Sequence[Any]]:
    """Texts, or pairs of them, to compare on: several lengths, padded rows, and single rows without padding."""
    texts = [text.strip() for text in PARITY_TEXTS]
    if source.task == "embed":
        return [texts, texts[:1], texts[4:6]]
    return [*([(question, text) for text in texts] for question in texts[:2]), [(texts[0], texts[5])]]


def encode(source: Source, batch: Sequence[Any]) -> Feed:
    """Token ids of texts, or of (question, passage) pairs, padded to the longest of the batch."""
    encoded = source.tokenizer(
        list(batch), padding=True, truncation=True, max_length=source.max_length_tokens, return_tensors="np"
    )
    return {name: np.asarray(encoded[name], dtype=np.int64) for name in source.inputs}


def trace(source: Source, path: Path) -> None:
    """Write the model as a float32 ONNX graph with free batch and length."""
    import torch

    feed = parity_feeds(source)[0]
    axes = {name: {0: "batch", 1: "length"} for name in source.inputs} | {source.output: {0: "batch"}}
    torch.onnx.export(
        source.module, tuple(torch.from_numpy(feed[name]) for name in source.inputs), str(path),
        input_names=list(source.inputs), output_names=[source.output], dynamic_axes=axes,
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip  # a long list of plain fields reads better unexploded


def check_parity(source: Source, path: Path, feeds: Sequence[Feed]) -> dict[str, float]:
    """Compare a float32 graph with the original; raises `ParityError` beyond the limits at the top of this module."""
    measured = _compare(source, path, feeds)
    if source.task == "embed":
        good = measured["cosine_min"] >= MIN_COSINE and measured["max_abs_delta"] <= MAX_EMBEDDING_DELTA
    else:
        good = measured["max_abs_delta"] <= MAX_SCORE_DELTA
    if not good:
        raise ParityError(f"the float32 graph does not agree with the original model: {measured}; do not ship it")
    return {f"fp32_{key}": value for key, value in measured.items()}


def check_reference(folder: Path, source: Source, path: Path) -> dict[str, float]:
    """Compare a float32 graph with what sentence-transformers makes of the folder: pooling, length, tokens and all.

    `check_parity` asks whether the tracing was right, this one whether the right thing was traced. Embeddings are
    compared by their direction. Raises `ParityError` beyond the limits at the top of this module.
    """
    batch = parity_batches(source)[0]
    wanted = reference(folder, source, batch)
    found = _onnx_runner(path)(encode(source, batch))
    if source.task == "embed":
        cosine = float(_cosines(wanted, found).min())
        good, measured = cosine >= MIN_COSINE, {"reference_cosine_min": round(cosine, 6)}
    else:
        delta = float(np.abs(wanted - found).max())
        good, measured = delta <= MAX_SCORE_DELTA, {"reference_max_abs_delta": float(f"{delta:.3g}")}
    if not good:
        raise ParityError(f"the graph does not do what sentence-transformers does: {measured}; do not ship it")
    return measured


def single_file(path: Path) -> Path:
    """The path, if the graph is in that file alone. Raises `ExportError` for one of over 2 GB, which is not."""
    if len(list(path.parent.iterdir())) > 1:
        raise ExportError("in float32 this model is larger than the 2 GB of one ONNX file: export it as int8")
    return path


def check_quantised(source: Source, path: Path, feeds: Sequence[Feed]) -> dict[str, float]:
    """Compare the int8 graph with the original and with itself; raises `ParityError` when embeddings are far off."""
    measured = _compare(source, path, feeds)
    if source.task == "embed" and not measured["cosine_min"] >= MIN_INT8_COSINE:
        raise ParityError(f"int8 weights lose too much here: {measured}; export it with the precision fp32")
    return {f"int8_{key}": value for key, value in measured.items()} | check_rows_alone(path, feeds)


def check_rows_alone(path: Path, feeds: Sequence[Feed]) -> dict[str, float]:
    """Compare every row alone with the same row in its padded batch; raises `ParityError` where they differ."""
    run = _onnx_runner(path)
    together = np.concatenate([run(feed) for feed in feeds])
    alone = np.concatenate([run(_row(feed, index)) for feed in feeds for index in range(len(feed["input_ids"]))])
    batch_delta = float(np.abs(together - alone).max())
    if not batch_delta <= MAX_BATCH_DELTA:
        raise ParityError(f"a row alone and in a batch differ by {batch_delta:.1e}, allowed is {MAX_BATCH_DELTA:.0e}")
    return {"batch_delta": float(f"{batch_delta:.2g}")}


def _row(feed: Feed, index: int) -> Feed:
    n_tokens = int(feed["attention_mask"][index].sum())
    return {name: np.ascontiguousarray(values[index : index + 1, :n_tokens]) for name, values in feed.items()}


def _compare(source: Source, path: Path, feeds: Sequence[Feed]) -> dict[str, float]:
    run = _onnx_runner(path)
    wanted = [source.run(feed) for feed in feeds]
    found = [run(feed) for feed in feeds]
    delta = max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True))
    measured = {"max_abs_delta": delta}
    if source.task == "embed":
        cosines = np.concatenate([_cosines(a, b) for a, b in zip(wanted, found, strict=True)])
        measured |= {"cosine_min": float(cosines.min()), "cosine_mean": float(cosines.mean())}
    return {key: float(f"{value:.3g}") if "delta" in key else round(value, 6) for key, value in measured.items()}


def _cosines(a: Floats, b: Floats) -> Floats:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(lengths, 1e-12), dtype=np.float32)


def _onnx_runner(path: Path) -> Callable[[Feed], Floats]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda feed: np.asarray(session.run(None, feed)[0], dtype=np.float32)


def write_tokenizer(source: Source, path: Path) -> None:
    """Write tokenizer.json without truncation or padding: the runtime sets both from the card."""
    backend = source.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(path), pretty=False)


def make_card(source: Source, recipe: Recipe, parity: Mapping[str, float], target: Path) -> dict[str, Any]:
    """The card of a model folder whose files are already written."""
    files = {name: sha256(target / name) for name in ("model.onnx", "tokenizer.json")}
    return {
        "name": recipe.name, "task": recipe.task, "licence": recipe.licence, "source": recipe.source,
        "created": recipe.created, "files": files, "max_length_tokens": source.max_length_tokens,
        "dimension": source.dimension, "pooling": source.pooling, "pooled_in_graph": True,
        "normalized": source.normalized,
        "query_prefix": source.query_prefix if recipe.query_prefix is None else recipe.query_prefix,
        "passage_prefix": source.passage_prefix if recipe.passage_prefix is None else recipe.passage_prefix,
        "precision": CARD_PRECISION[recipe.precision], "output_depends_on_batch": False,
        "temperature": recipe.temperature, "padding_side": "right",
        "inputs": list(source.inputs), "output": source.output, "parity": dict(parity),
        "metrics": dict(recipe.metrics), "training": dict(recipe.training),
        "credits": [dict(credit) for credit in recipe.credits],
    }  # fmt: skip  # a long list of plain fields reads better unexploded


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
