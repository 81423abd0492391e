"""What a model is configured with: the `kind` of each entry under `[models]` picks the adapter."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from llm.prices import Price
from rag.base.secret import Secret

Url = Annotated[str, Meta(pattern=r"^https?://[^\s?#@]+$")]
Seconds = Annotated[float, Meta(gt=0, le=3600)]


class ExtractiveConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="extractive"
):
    """Answers with sentences quoted from the sources; needs no network.

    `min_confidence` is where it begins to answer: below it, the answer is that the documents do not say. At 0.12 it
    wrongly refused 1.5 % of the questions that the confidence was fitted on (0 to 4 % by collection) and 33 % of the
    same without their document (3 to 78 %), 2026-11-23; what it does on an unseen collection is in docs/benchmarks.md
    and comes from `rag eval abstention`. Higher values catch more questions that the documents cannot answer and refuse
    more that they can. `max_embedded_sentences` bounds what a question costs.
    """

    max_sentences: Annotated[int, Meta(ge=1, le=10)] = 3
    min_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.12
    max_embedded_sentences: Annotated[int, Meta(ge=0, le=256)] = 8


class RemoteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all models on the other end of HTTP have in common.

    The four timers run beside the request's own deadline, and the earlier wins. `headers` are added to every request.
    `api_keys` are further keys by a label, which may be shown; requests are shared among all of them.
    """

    model: Annotated[str, Meta(min_length=1)]
    api_key: Secret | None = None
    api_keys: Mapping[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")], Secret] = {}
    price: Price | None = None
    headers: Mapping[str, Secret] = {}
    connect_timeout_s: Seconds = 5.0
    first_token_timeout_s: Seconds = 30.0
    idle_timeout_s: Seconds = 15.0
    total_timeout_s: Seconds = 120.0
    max_connections: Annotated[int, Meta(ge=1, le=10_000)] = 100


class OpenAIConfig(RemoteConfig, frozen=True, kw_only=True, tag_field="kind", tag="openai"):
    """Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, Groq, OpenRouter, ...

    `base_url` ends before `/chat/completions`, as in `http://localhost:11434/v1`. Azure OpenAI takes its key in another
    header and, under the address of a deployment, an `api_version`.
    """

    base_url: Url
    api_key_header: Literal["authorization", "api-key"] = "authorization"
    api_version: Annotated[str, Meta(pattern=r"^[0-9A-Za-z.-]+$")] | None = None


class AnthropicConfig(RemoteConfig, frozen=True, kw_only=True, tag_field="kind", tag="anthropic"):
    """Anthropic's Messages API, or a gateway that speaks it. `base_url` ends before `/messages`."""

    base_url: Url = "https://api.anthropic.com/v1"


class GeminiConfig(RemoteConfig, frozen=True, kw_only=True, tag_field="kind", tag="gemini"):
    """Google's generateContent: the Gemini API with a key. `base_url` ends before `/models/`."""

    base_url: Url = "https://generativelanguage.googleapis.com/v1beta"


class VertexConfig(RemoteConfig, frozen=True, kw_only=True, tag_field="kind", tag="vertex"):
    """Google's generateContent on Vertex AI, in a project and a location (a region, or "global").

    With `api_key`, a key of Google Cloud is sent; without it, access tokens of the credentials that Google's tools
    would find, which needs the extra `vertex`. `base_url` is for endpoints of a private network.
    """

    project: Annotated[str, Meta(pattern=r"^[a-z0-9.:-]+$")]
    location: Annotated[str, Meta(pattern=r"^[a-z0-9-]+$")]
    base_url: Url | None = None


class BedrockConfig(RemoteConfig, frozen=True, kw_only=True, tag_field="kind", tag="bedrock"):
    """Amazon Bedrock's ConverseStream. `model` is a model's id, an inference profile or an ARN.

    With `api_key`, a Bedrock API key is sent; without it, requests are signed with the credentials that AWS's tools
    would find, which needs the extra `bedrock`. `base_url` is for endpoints of a private network.
    """

    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]+$")]
    base_url: Url | None = None


class LlamaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="llama"):
    """A GGUF file, run by llama.cpp in this process. Needs the extra `llama`.

    `context_tokens` is for each of the `parallel` answers that it writes at once; `threads=0` takes every usable core.
    The timers are longer than those of a service: one machine reads a prompt at the speed that it has.
    """

    file: Annotated[str, Meta(min_length=1)]
    context_tokens: Annotated[int, Meta(ge=256)] = 8192
    parallel: Annotated[int, Meta(ge=1, le=64)] = 2
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    gpu_layers: Annotated[int, Meta(ge=0)] = 0
    first_token_timeout_s: Seconds = 120.0
    idle_timeout_s: Seconds = 30.0
    total_timeout_s: Seconds = 600.0


ModelConfig = (
    ExtractiveConfig | LlamaConfig | OpenAIConfig | AnthropicConfig | GeminiConfig | VertexConfig | BedrockConfig
)
