"""Which embedder makes the vectors."""

from typing import Annotated

from msgspec import Meta, Struct

from rag.infer.endpoint import Endpoint


class OnnxEmbedderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="onnx"):
    """An exported bi-encoder in this process: a shipped name, a local folder, or a hub id that was exported here."""

    model: str = "all-minilm-l6-v2"
    n_sessions: Annotated[int, Meta(ge=0, le=256)] = 0
    """Single-thread sessions side by side; 0 is one for each core."""


class TorchEmbedderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="torch"):
    """The original of a bi-encoder through sentence-transformers: half precision on CUDA, float32 elsewhere.

    `model` is a local folder or a hub id that is in the local cache. A batch holds `batch_tokens`, padding included.
    """

    model: str
    device: str = "auto"
    batch_tokens: Annotated[int, Meta(ge=512, le=1_048_576)] = 32_768


class HttpEmbedderConfig(Endpoint, frozen=True, kw_only=True, tag_field="kind", tag="http"):
    """Any server with OpenAI's `/embeddings` below `base_url`: TEI, Infinity, vLLM, OpenAI, ...

    `tokenizer` measures texts (for chunks and for `max_length_tokens`, at which they are cut): a shipped name, a model
    folder or a tokenizer.json. `ask_dimension` sends `dimension` along, for models whose vectors can be shortened.
    """

    dimension: Annotated[int, Meta(ge=1, le=65_536)]
    ask_dimension: bool = False
    revision: str = ""
    query_prefix: str = ""
    passage_prefix: str = ""
    batch_texts: Annotated[int, Meta(ge=1, le=2048)] = 32
    max_length_tokens: Annotated[int, Meta(ge=16, le=131_072)] = 512
    tokenizer: str = "all-minilm-l6-v2"


EmbedderConfig = OnnxEmbedderConfig | TorchEmbedderConfig | HttpEmbedderConfig
