"""From configuration to models that answer."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from random import Random
from typing import assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from llm.abilities import Ability
from llm.allowance import allowances
from llm.anthropic import AnthropicWire
from llm.bedrock import BedrockWire
from llm.config import (
    AnthropicConfig,
    BedrockConfig,
    ExtractiveConfig,
    GeminiConfig,
    LlamaConfig,
    ModelConfig,
    OpenAIConfig,
    RemoteConfig,
    VertexConfig,
)
from llm.extractive import LACKS, ExtractiveModel, embedding_scorer
from llm.gemini import GeminiWire
from llm.google_token import google_signer
from llm.llama import open_llama
from llm.openai import OpenAIWire
from llm.prices import Price
from llm.remote import RemoteModel, Wire
from llm.routing.breaker import Breaker
from llm.routing.config import RoutingConfig
from llm.routing.keys import Key
from llm.routing.load import Load
from llm.routing.target import Target
from llm.sigv4 import aws_signer
from llm.vertex import VertexWire
from rag.base.deadline import Clock
from rag.base.ports import ChatModel, Embedder
from rag.base.secret import Secret
from rag.infer.exchange import Transport
from rag.infer.transport import open_transport

OpenTransport = Callable[[int], AbstractAsyncContextManager[Transport]]
"""Opens a pool of at most that many connections."""

Wrap = Callable[[str, ModelConfig, ChatModel], ChatModel]
"""Puts something around a model, each call of which it sees: what traces or bills them, say."""

Cover = Callable[[str, ChatModel], ChatModel]
"""Puts something around what is served under a name, be it a model or a route, which it sees as one call."""

Remote = OpenAIConfig | AnthropicConfig | GeminiConfig | VertexConfig | BedrockConfig

_LACKS: Mapping[type[ModelConfig], frozenset[Ability]] = {
    ExtractiveConfig: LACKS,
    LlamaConfig: OpenAIWire.lacks,
    OpenAIConfig: OpenAIWire.lacks,
    AnthropicConfig: AnthropicWire.lacks,
    GeminiConfig: GeminiWire.lacks,
    VertexConfig: VertexWire.lacks,
    BedrockConfig: BedrockWire.lacks,
}

ONLY_KEY = "default"
"""The label of `api_key`, and of no key at all."""


class Parts(Struct, frozen=True, kw_only=True):
    """What models are made with, besides what they are configured with."""

    embedder: Embedder
    transport: OpenTransport = open_transport
    wrap: Wrap = lambda _name, _config, model: model
    cover: Cover = lambda _, model: model
    aside: Cover = lambda _, model: model
    """The same for what a route asks by the way, which is a call of its own within one that was let in."""
    clock: Clock = time.monotonic
    rng: Random = field(default_factory=Random)
    unix_time: Callable[[], float] = time.time


@asynccontextmanager
async def open_target(name: str, config: ModelConfig, parts: Parts, routing: RoutingConfig) -> AsyncIterator[Target]:
    """A model with its keys, open for as long as the context. Connects to nothing yet. Raises ConfigError."""
    if isinstance(config, ExtractiveConfig):
        model = parts.wrap(name, config, ExtractiveModel(config, embedding_scorer(parts.embedder)))
        yield _target(name, config, (Key(ONLY_KEY, model),), routing)
        return
    async with (
        _asked_remotely(config) as remote,
        parts.transport(remote.max_connections) as transport,
    ):
        wrap = partial(parts.wrap, name, config)
        one_key = [(label, replace(remote, api_key=key, api_keys={})) for label, key in _keys(remote).items()]
        keys = tuple(_key(label, each, parts, transport, wrap) for label, each in one_key)
        yield _target(name, config, keys, routing, remote.price)


@asynccontextmanager
async def _asked_remotely(config: Remote | LlamaConfig) -> AsyncIterator[Remote]:
    """Where a model is asked that is not asked by a call."""
    if isinstance(config, LlamaConfig):
        async with open_llama(config) as remote:
            yield remote
    else:
        yield config


def _target(
    name: str, config: ModelConfig, keys: tuple[Key, ...], routing: RoutingConfig, price: Price | None = None
) -> Target:
    return Target(
        name=name,
        provider=str(type(config).__struct_config__.tag),
        model=keys[0].model.name,
        keys=keys,
        breaker=Breaker(routing),
        load=Load(),
        price=price,
        lacks=_LACKS[type(config)],
    )


def _keys(config: RemoteConfig) -> dict[str, Secret | None]:
    """All the keys by label; one without a secret where there is none."""
    given: dict[str, Secret | None] = {ONLY_KEY: config.api_key} if config.api_key else {}
    return {**given, **config.api_keys} or {ONLY_KEY: None}


def _key(label: str, config: Remote, parts: Parts, transport: Transport, wrap: Callable[[ChatModel], ChatModel]) -> Key:
    """The only key of `config`, which learns from the headers of every response what is left of its limits."""

    def told(headers: Mapping[str, str]) -> None:
        key.told(allowances(headers, parts.unix_time()), parts.clock())

    model = RemoteModel(_wire(config), transport, on_headers=told, clock=parts.clock, unix_time=parts.unix_time)
    key = Key(label, wrap(model))
    return key


def _wire(config: Remote) -> Wire:
    match config:
        case OpenAIConfig():
            return OpenAIWire(config)
        case AnthropicConfig():
            return AnthropicWire(config)
        case GeminiConfig():
            return GeminiWire(config)
        case VertexConfig():
            return VertexWire(config, sign=None if config.api_key else google_signer())
        case BedrockConfig():
            return BedrockWire(config, sign=None if config.api_key else aws_signer(config.region))
        case _:
            assert_never(config)
