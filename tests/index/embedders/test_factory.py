import importlib.util

import pytest

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError, Unavailable
from rag.base.secret import Secret
from rag.base.types import Work
from rag.index.embedders.config import HttpEmbedderConfig, OnnxEmbedderConfig, TorchEmbedderConfig
from rag.index.embedders.factory import open_embedder
from tests.remote_models import EmbeddingsServer, served

WORK = Work(tenant="acme", deadline=Deadline(at_s=float("inf")))


async def test_the_shipped_embedder_comes_with_a_tokenizer_that_does_not_cut(tmp_path):
    async with open_embedder(OnnxEmbedderConfig(n_sessions=1), tmp_path) as (embedder, counter):
        assert embedder.dimension == 384
        assert len(counter.encode("word " * 1000, add_special_tokens=False).ids) == 1000


@pytest.mark.sockets
async def test_a_remote_embedder_is_asked_over_real_connections_and_measured_by_a_local_tokenizer(tmp_path):
    server = EmbeddingsServer(dimension=16)
    async with served(server) as address:
        config = HttpEmbedderConfig(base_url=address, model="m", dimension=16, api_key=Secret("k1"), batch_texts=4)
        async with open_embedder(config, tmp_path) as (embedder, counter):
            assert len(counter.encode("two words", add_special_tokens=False).ids) == 2
            assert (await embedder.embed(["a"] * 9, "passage", WORK)).shape == (9, 16)
    assert sorted(server.sizes) == [1, 4, 4]
    assert {headers["authorization"] for headers in server.headers} == {"Bearer k1"}


@pytest.mark.sockets
async def test_where_nobody_listens_the_embedder_is_unavailable_and_opening_it_is_not_an_error(
    tmp_path, unused_tcp_port
):
    config = HttpEmbedderConfig(base_url=f"http://127.0.0.1:{unused_tcp_port}", model="m", dimension=16, max_attempts=2)
    async with open_embedder(config, tmp_path) as (embedder, _):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await embedder.embed(["a"], "query", WORK)


async def test_a_tokenizer_that_is_none_is_a_configuration_error(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    config = HttpEmbedderConfig(base_url="http://up", model="m", dimension=16, tokenizer=str(tmp_path))
    with pytest.raises(ConfigError, match="no tokenizer"):
        async with open_embedder(config, tmp_path):
            pass


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None, reason="the torch extra is installed here"
)
async def test_without_the_torch_extra_the_error_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"groundwire\[torch\]"):
        async with open_embedder(TorchEmbedderConfig(model=str(tmp_path)), tmp_path):
            pass
