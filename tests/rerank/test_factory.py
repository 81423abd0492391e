import pytest

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError
from rag.base.types import Work
from rerank.config import HttpRerankConfig, NoRerankConfig, OnnxRerankConfig
from rerank.factory import open_reranker
from tests.prompts import a_source
from tests.remote_models import rerank_server, served

WORK = Work(tenant="acme", deadline=Deadline(at_s=float("inf")))


async def test_none_is_none(tmp_path):
    async with open_reranker(NoRerankConfig(), tmp_path) as reranker:
        assert reranker.name == "none"


async def test_a_model_that_is_not_here_is_an_error_and_nothing_is_downloaded(tmp_path):
    with pytest.raises(ConfigError, match="rag models pull acme/ranker --task rerank"):
        async with open_reranker(OnnxRerankConfig(model="acme/ranker"), tmp_path):
            pass


@pytest.mark.sockets
@pytest.mark.parametrize("dialect", ["cohere", "tei"])
async def test_a_remote_reranker_is_asked_over_real_connections(tmp_path, dialect):
    candidates = [a_source(marker, text).candidates[0] for marker, text in enumerate(["plums", "red pears"], start=1)]
    async with served(rerank_server) as address:
        config = HttpRerankConfig(base_url=address, model="m", dialect=dialect, weight=1.0)
        async with open_reranker(config, tmp_path) as reranker:
            found = await reranker.rerank("red", candidates, 1, WORK)
    assert [candidate.passage.chunk.text for candidate in found] == ["red pears"]
