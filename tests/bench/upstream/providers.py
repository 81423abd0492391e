"""Our side of every wire, for tests of the simulated provider."""

from typing import Any

from llm.anthropic import AnthropicWire
from llm.bedrock import BedrockWire
from llm.config import AnthropicConfig, BedrockConfig, GeminiConfig, OpenAIConfig
from llm.gemini import GeminiWire
from llm.openai import OpenAIWire
from llm.remote import RemoteModel, Wire
from rag.base.secret import Secret
from rag.bench.upstream.asked import Asked, WireName
from rag.infer.exchange import Transport

KEY = "sk-test"


def wires(root: str) -> dict[WireName, Wire]:
    """One for each, under the same address."""
    azure = f"{root}/openai/deployments/m"
    return {
        "openai": OpenAIWire(OpenAIConfig(base_url=f"{root}/v1", model="m", api_key=Secret(KEY))),
        "azure": OpenAIWire(
            OpenAIConfig(base_url=azure, model="m", api_key=Secret(KEY), api_key_header="api-key", api_version="v")
        ),
        "anthropic": AnthropicWire(AnthropicConfig(base_url=f"{root}/v1", model="m", api_key=Secret(KEY))),
        "gemini": GeminiWire(GeminiConfig(base_url=f"{root}/v1beta", model="m", api_key=Secret(KEY))),
        "bedrock": BedrockWire(BedrockConfig(base_url=root, model="m", region="eu-west-1", api_key=Secret(KEY))),
    }


WIRE_OF = wires("http://upstream")


def model(wire: WireName, transport: Transport, root: str = "http://upstream") -> RemoteModel:
    return RemoteModel(wires(root)[wire], transport)


def asking(wire: WireName, **changes: Any) -> Asked:
    return Asked(**({"wire": wire, "model": "m", "key": KEY, "stream": True, "n_bytes": 40} | changes))
