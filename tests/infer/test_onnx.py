"""The shipped embedder as the service runs it, and how rows are put together."""

import asyncio
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError
from rag.base.types import Lane, Work
from rag.index.embedders.onnx import OnnxEmbedder
from rag.infer.models import damaged_files, open_model, shipped_models
from rag.infer.onnx import MAX_PAD_WASTE, OnnxModel, mean_pooled, runs_of
from rag.telemetry.report import BatchReport

LANES: tuple[Lane, ...] = ("interactive", "bulk")

WORDS = [
    "the",
    "river",
    "tower",
    "bridge",
    "refund",
    "policy",
    "battery",
    "of",
    "in",
    "between",
    "degrees",
    "seven",
    "weeks",
    "parental",
    "leave",
]


@given(st.lists(st.integers(1, 256), max_size=40), st.integers(0, 512))
def test_rows_are_run_once_each_and_within_their_bounds(lengths: list[int], run_tokens: int) -> None:
    runs = runs_of(lengths, run_tokens)
    assert sorted(index for run in runs for index in run) == list(range(len(lengths)))
    for run in runs:
        padded = max(lengths[index] for index in run) * len(run)
        assert len(run) == 1 or padded <= run_tokens
        assert padded - sum(lengths[index] for index in run) <= MAX_PAD_WASTE * padded


def test_a_mean_leaves_padding_out_and_has_unit_length() -> None:
    tokens = np.array([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]], dtype=np.float32)
    assert mean_pooled(tokens, np.array([[1, 1, 0]])) == pytest.approx(np.array([[0.6, 0.8]]))


async def test_a_vector_does_not_depend_on_what_else_is_embedded() -> None:
    chance = random.Random(1)
    model = await asyncio.to_thread(OnnxModel.load, open_model("all-minilm-l6-v2", "embed"), 2)
    embedder = OnnxEmbedder(model)
    work = Work(tenant="a", deadline=Deadline.after(100))
    text = "Each parent may take 26 weeks of parental leave."
    (alone,) = await embedder.embed([text], "passage", work)
    assert np.linalg.norm(alone) == pytest.approx(1.0, abs=1e-5)
    for _ in range(50):
        others = [[" ".join(chance.choices(WORDS, k=chance.randint(1, 60)))] for _ in range(chance.randint(1, 6))]
        texts = [[text], *others]
        chance.shuffle(texts)
        results = await asyncio.gather(*(embedder.embed(one, "passage", work) for one in texts))
        assert np.abs(results[texts.index([text])][0] - alone).max() <= 1e-5
    together = await embedder.embed([text, *(other[0] for other in others), ""], "passage", work)
    assert np.abs(together[0] - alone).max() <= 1e-5
    assert (await embedder.embed([], "query", work)).shape == (0, 384)
    await model.aclose()


async def test_bulk_work_has_a_queue_of_its_own_and_gives_the_same_vectors() -> None:
    told: list[BatchReport] = []
    folder = open_model("all-minilm-l6-v2", "embed")
    model = await asyncio.to_thread(OnnxModel.load, folder, 1, told.append)
    embedder = OnnxEmbedder(model)
    asked, behind = (Work(tenant="a", deadline=Deadline.after(100), lane=lane) for lane in LANES)
    texts = [" ".join(WORDS[: 1 + n % len(WORDS)]) for n in range(40)]
    vectors, again = await asyncio.gather(
        embedder.embed(texts, "passage", behind), embedder.embed(texts, "passage", asked)
    )
    assert np.abs(vectors - again).max() <= 1e-5
    assert {report.queue: sum(one.n_items for one in told if one.queue == report.queue) for report in told} == {
        "embed": 40,
        "embed_bulk": 40,
    }
    await model.aclose()


def test_the_shipped_models_are_intact_and_an_unknown_one_is_named() -> None:
    models = shipped_models()
    assert "all-minilm-l6-v2" in [model.card.name for model in models]
    assert all(damaged_files(model) == [] for model in models)
    with pytest.raises(ConfigError, match="all-minilm-l6-v2"):
        open_model("no-such-model", "embed")
    with pytest.raises(ConfigError, match="task"):
        open_model("all-minilm-l6-v2", "rerank")
