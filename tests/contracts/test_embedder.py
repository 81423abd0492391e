"""What every Embedder promises, asked of each: the fake, the shipped one, a remote one, the original on torch."""

import asyncio
import importlib.util
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, DeadlineExceeded, Overloaded, Unavailable
from rag.base.ports import Embedder
from rag.base.types import Work
from rag.index.embedders.config import HttpEmbedderConfig, OnnxEmbedderConfig, TorchEmbedderConfig
from rag.index.embedders.factory import open_embedder
from rag.index.embedders.http import HttpEmbedder
from rag.infer.remote import Remote
from tests.fakes import HashingEmbedder
from tests.indexing import tiny_tokenizer
from tests.remote_models import EmbeddingsServer, mocked
from tests.tiny_models import save_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*", "ignore::FutureWarning:torch.*")

PROMISED = (BadDependency, Overloaded, DeadlineExceeded, Unavailable)
TEXTS = ["The oil embargo began in October 1973.", "Refunds within thirty days.", "the quick brown fox", "ß 😀 \x00"]
Open = Callable[[AsyncExitStack, Path], Awaitable[Embedder]]


async def fake(stack: AsyncExitStack, folder: Path) -> Embedder:
    return HashingEmbedder()


async def shipped(stack: AsyncExitStack, folder: Path) -> Embedder:
    embedder, _ = await stack.enter_async_context(open_embedder(OnnxEmbedderConfig(n_sessions=2), folder))
    return embedder


async def remote(stack: AsyncExitStack, folder: Path) -> Embedder:
    config = HttpEmbedderConfig(base_url="http://upstream/v1", model="m", dimension=64, batch_texts=3)
    transport = mocked(EmbeddingsServer())
    embedder = HttpEmbedder(config, Remote(config, "embeddings", transport), tiny_tokenizer())
    stack.push_async_callback(embedder.aclose)
    return embedder


async def original(stack: AsyncExitStack, folder: Path) -> Embedder:
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("the torch embedder needs the torch extra")
    save_model(folder / "tiny", scored=False)
    config = TorchEmbedderConfig(model=str(folder / "tiny"), device="cpu", batch_tokens=1024)
    embedder, _ = await stack.enter_async_context(open_embedder(config, folder))
    return embedder


@pytest.fixture(params=[fake, shipped, remote, original])
async def embedder(request, tmp_path) -> AsyncIterator[Embedder]:
    opener: Open = request.param
    async with AsyncExitStack() as stack:
        yield await opener(stack, tmp_path)


def in_time(seconds: float = 60.0, tenant: str = "acme") -> Work:
    return Work(tenant=tenant, deadline=Deadline.after(seconds))


async def test_each_text_has_a_unit_vector_and_texts_without_number_have_none(embedder):
    vectors = await embedder.embed(TEXTS, "passage", in_time())
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), embedder.dimension), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert (await embedder.embed([], "query", in_time())).shape == (0, embedder.dimension)


async def test_the_order_of_the_vectors_is_the_order_of_the_texts(embedder):
    forward = await embedder.embed(TEXTS, "passage", in_time())
    backward = await embedder.embed(TEXTS[::-1], "passage", in_time())
    assert np.abs(forward - backward[::-1]).max() <= 1e-5
    gaps = np.abs(forward[:, None] - forward[None]).max(axis=2)
    assert gaps[0, 1] > 1e-3, "different texts have different vectors"


async def test_an_empty_text_and_one_beyond_the_limit_have_vectors_too(embedder):
    vectors = await embedder.embed(["", " ", "the fox is quick " * 3000], "passage", in_time())
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


async def test_a_vector_does_not_depend_on_what_else_is_embedded(embedder):
    chance = random.Random(3)
    (alone,) = await embedder.embed([TEXTS[0]], "passage", in_time())
    for _ in range(10):
        others = [" ".join(chance.choices(TEXTS, k=chance.randint(1, 9))) for _ in range(chance.randint(1, 6))]
        calls = [embedder.embed([other], "passage", in_time(tenant=other[:3])) for other in others]
        *_, mixed = await asyncio.gather(*calls, embedder.embed([*others, TEXTS[0]], "passage", in_time()))
        assert np.abs(mixed[-1] - alone).max() <= 1e-5


async def test_past_the_deadline_it_ends_at_once_with_vectors_or_a_promised_error(embedder):
    async with asyncio.timeout(10):
        try:
            vectors = await embedder.embed(TEXTS, "query", in_time(0.0))
        except PROMISED:
            return
    assert vectors.shape == (len(TEXTS), embedder.dimension)


async def test_a_caller_that_leaves_harms_nobody(embedder):
    leaving = asyncio.create_task(embedder.embed(TEXTS * 4, "passage", in_time()))
    staying = asyncio.create_task(embedder.embed(TEXTS, "passage", in_time()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert (await staying).shape == (len(TEXTS), embedder.dimension)


async def test_its_name_says_something_and_stays(embedder):
    before = embedder.name
    await embedder.embed(TEXTS, "query", in_time())
    assert before
    assert embedder.name == before
