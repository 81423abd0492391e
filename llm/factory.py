"""From configuration to models that answer."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import assert_never

import httpx

from llm.anthropic import AnthropicWire
from llm.bedrock import BedrockWire
from llm.config import AnthropicConfig, BedrockConfig, ExtractiveConfig, GeminiConfig, ModelConfig, OpenAIConfig
from llm.extractive import ExtractiveModel, embedding_scorer
from llm.gemini import GeminiWire
from llm.openai import OpenAIWire
from llm.remote import RemoteModel, Wire
from llm.sigv4 import aws_signer
from rag.base.ports import ChatModel, Embedder
from rag.infer.transport import open_transport

OpenTransport = Callable[[int], AbstractAsyncContextManager[httpx.AsyncBaseTransport]]
"""Opens a pool of at most that many connections."""


@asynccontextmanager
async def open_models(
    configs: Mapping[str, ModelConfig], *, embedder: Embedder, transport: OpenTransport = open_transport
) -> AsyncIterator[Mapping[str, ChatModel]]:
    """The configured models by name, open for as long as the context. Connects to nothing yet. Raises ConfigError."""
    async with AsyncExitStack() as stack:
        models: dict[str, ChatModel] = {}
        for name, config in configs.items():
            models[name] = await _opened(config, embedder, transport, stack)
        yield models


async def _opened(
    config: ModelConfig, embedder: Embedder, transport: OpenTransport, stack: AsyncExitStack
) -> ChatModel:
    if isinstance(config, ExtractiveConfig):
        return ExtractiveModel(config, embedding_scorer(embedder))
    return RemoteModel(_wire(config), await stack.enter_async_context(transport(config.max_connections)))


def _wire(config: OpenAIConfig | AnthropicConfig | GeminiConfig | BedrockConfig) -> Wire:
    match config:
        case OpenAIConfig():
            return OpenAIWire(config)
        case AnthropicConfig():
            return AnthropicWire(config)
        case GeminiConfig():
            return GeminiWire(config)
        case BedrockConfig():
            return BedrockWire(config, sign=None if config.api_key else aws_signer(config.region))
        case _:
            assert_never(config)
