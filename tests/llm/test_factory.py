from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from llm.config import AnthropicConfig, BedrockConfig, ExtractiveConfig, GeminiConfig, ModelConfig, OpenAIConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import open_models
from rag.base.errors import ConfigError
from rag.base.secret import Secret
from rag.infer.exchange import Transport
from tests.fakes import HashingEmbedder
from tests.remote_models import mocked

OPENAI = OpenAIConfig(base_url="https://api.example.com/v1", model="gpt", max_connections=7)


class Pools:
    """Opens transports that reach nothing, and remembers which are open."""

    def __init__(self) -> None:
        self.open: list[int] = []

    @asynccontextmanager
    async def __call__(self, max_connections: int) -> AsyncIterator[Transport]:
        self.open.append(max_connections)
        try:
            yield mocked(lambda _: httpx.Response(503))
        finally:
            self.open.remove(max_connections)


async def test_each_configuration_becomes_its_model_and_pools_live_as_long_as_the_context():
    pools = Pools()
    claude = AnthropicConfig(model="claude", max_connections=9)
    nova = BedrockConfig(model="nova", region="eu-west-1", api_key=Secret("k"), max_connections=5)
    gemini = GeminiConfig(model="gemini", max_connections=3)
    configs: dict[str, ModelConfig] = {
        "quotes": ExtractiveConfig(),
        "big": OPENAI,
        "other": claude,
        "third": gemini,
        "aws": nova,
    }
    async with open_models(Catalogue(models=configs), Parts(embedder=HashingEmbedder(), transport=pools)) as models:
        names = {"quotes": "extractive@1", "big": "gpt", "other": "claude", "third": "gemini", "aws": "nova"}
        assert {name: model.name for name, model in models.items()} == names
        assert pools.open == [7, 9, 3, 5]
    assert pools.open == []


async def test_a_fault_in_one_model_closes_the_pools_of_the_others():
    pools = Pools()
    broken = msgspec.structs.replace(OPENAI, api_key=Secret("line\nbreak"))
    catalogue = Catalogue(models={"a": OPENAI, "b": broken})
    with pytest.raises(ConfigError):
        async with open_models(catalogue, Parts(embedder=HashingEmbedder(), transport=pools)):
            pytest.fail("a broken model was opened")
    assert pools.open == []


@pytest.mark.parametrize(
    "text",
    [
        'kind = "openai"\nbase_url = "ftp://x"\nmodel = "m"',
        'kind = "openai"\nbase_url = "https://user:password@host/v1"\nmodel = "m"',
        'kind = "openai"\nbase_url = "https://x/v1?key=1"\nmodel = "m"',
        'kind = "openai"\nbase_url = "https://x/v1"',
        'kind = "openai"\nbase_url = "https://x/v1"\nmodel = "m"\napi_version = "1&x=2"',
        'kind = "openai"\nbase_url = "https://x/v1"\nmodel = "m"\napi_key_header = "cookie"',
        'kind = "openai"\nbase_url = "https://x/v1"\nmodel = "m"\nidle_timeout_s = 0',
        'kind = "extractive"\nmax_sentences = 0',
        'kind = "extractive"\nbase_url = "https://x/v1"',
        'kind = "bedrock"\nmodel = "m"',
        'kind = "bedrock"\nmodel = "m"\nregion = "EU/../"',
        'kind = "gemini"',
        'kind = "anthropic"\nmodel = ""',
        'kind = "anthropic"\nmodel = "m"\nregion = "eu-west-1"',
        'kind = "oracle"',
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(text, type=ModelConfig)


def test_a_secret_is_not_shown_with_its_configuration():
    assert "sk-hidden" not in repr(msgspec.structs.replace(OPENAI, api_key=Secret("sk-hidden")))
