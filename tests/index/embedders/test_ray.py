"""An embedder over a Ray cluster of two nodes, which are processes of this machine, and one of them is lost."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError, Unavailable
from rag.base.types import Work
from rag.index.embedders.config import HttpEmbedderConfig, OnnxEmbedderConfig
from rag.index.embedders.factory import open_embedder

pytestmark = [
    pytest.mark.ray,
    pytest.mark.sockets,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed; `make test-ray` runs this"),
]
TEXTS = [f"The cat sat on mat {number} and told {number % 7} stories." for number in range(40)]


def work() -> Work:
    return Work(tenant="acme", deadline=Deadline.after(200), lane="bulk")


async def test_two_nodes_embed_as_one_process_does_and_one_of_them_may_be_lost(tmp_path: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    from rag.index.embedders.ray import open_pool

    async with open_embedder(OnnxEmbedderConfig(), tmp_path) as (own, _):
        alone = await own.embed(TEXTS, "passage", work())
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        async with open_pool(OnnxEmbedderConfig(), tmp_path) as (pool, _):
            assert (pool.name, pool.dimension, pool.max_length_tokens) == (
                own.name,
                own.dimension,
                own.max_length_tokens,
            )
            assert len(pool._actors) == 2
            assert (await pool.embed([], "passage", work())).shape == (0, own.dimension)
            np.testing.assert_allclose(await pool.embed(TEXTS, "passage", work()), alone, atol=1e-5)
            cluster.remove_node(node, allow_graceful=False)
            async with asyncio.timeout(100):
                while len(pool._actors) == 2:  # its processes outlive a node by a moment
                    np.testing.assert_allclose(await pool.embed(TEXTS, "passage", work()), alone, atol=1e-5)
            np.testing.assert_allclose(await pool.embed(TEXTS, "passage", work()), alone, atol=1e-5)
    finally:
        ray.shutdown()
        cluster.shutdown()


async def test_a_cluster_that_is_not_there_is_unavailable_at_once() -> None:
    from rag.index.embedders.ray import _join

    with pytest.raises(Unavailable, match="RAY_ADDRESS"):
        await _join("127.0.0.1:1")


async def test_a_model_behind_a_server_is_not_shared_out(tmp_path: Path) -> None:
    from rag.index.embedders.ray import open_pool

    config = HttpEmbedderConfig(base_url="http://localhost:1", model="m", dimension=2)
    with pytest.raises(ConfigError, match="is a server"):
        async with open_pool(config, tmp_path):
            pass
