"""POST /v1/embeddings: the vectors of this server's own embedder."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from rag.base.deadline import Deadline
from rag.base.errors import InvalidInput, NotFound
from rag.base.ports import Embedder, Vectors
from rag.base.types import Role, Work
from rag.serve.gateway.call import Call
from rag.serve.gateway.call import Work as Coming
from rag.serve.gateway.room import room
from rag.serve.openai.content import Ignored
from rag.serve.replies import Reply

MAX_INPUTS = 2_048
BULK_INPUTS = 8
"""From this many texts on they wait behind those who ask questions, and are counted and encoded in a thread."""


class EmbeddingsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts to embed. `input_type` is not OpenAI's: models that tell questions from passages need to know."""

    model: str
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=MAX_INPUTS)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    input_type: Role = "passage"
    user: Ignored = None


class _Embedding(Struct, frozen=True, kw_only=True):
    object: str = "embedding"
    index: int
    embedding: list[float] | str


class _Usage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class _Embeddings(Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[_Embedding]
    model: str
    usage: _Usage


def embeddings(call: Call, body: EmbeddingsBody) -> Coming:
    """One vector of unit length per text, in order. Raises InvalidInput, NotFound, and what embedders raise."""
    embedder = call.services.searcher.embedder
    if not is_named(embedder.name, body.model):
        raise NotFound(f"there is no embedder '{body.model[:100]}' here; there is '{embedder.name}'")
    if body.dimensions not in (None, embedder.dimension):
        raise InvalidInput(f"vectors have {embedder.dimension} dimensions here, and no others", pointer="/dimensions")
    return _embedded(call, body, embedder, _texts(body))


def is_named(name: str, wanted: str) -> bool:
    """Whether a caller means the model: by its name, with the revision or without."""
    return wanted in (name, name.partition("@")[0])


def _texts(body: EmbeddingsBody) -> list[str]:
    given = [body.input] if isinstance(body.input, str) else body.input
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(given):
        raise InvalidInput("tokens cannot be embedded, only texts: token ids differ by model", pointer="/input")
    return texts


async def _embedded(call: Call, body: EmbeddingsBody, embedder: Embedder, texts: list[str]) -> Reply:
    with room(call, n_texts=len(texts), bulk_texts=BULK_INPUTS) as lane:
        is_bulk = lane == "bulk"
        count = call.services.count_tokens
        lengths = await asyncio.to_thread(count, texts) if is_bulk else count(texts)
        _check_lengths(lengths, embedder.max_length_tokens)
        deadline = Deadline.after(call.services.limits.gateway_timeout_s)
        work = Work(tenant=call.principal.tenant, deadline=deadline, lane=lane)
        vectors = await embedder.embed(texts, body.input_type, work)
        written = (body, vectors, sum(lengths))
        return Reply(body=await asyncio.to_thread(_encoded, *written) if is_bulk else _encoded(*written))


def _check_lengths(lengths: Sequence[int], most: int) -> None:
    for place, length in enumerate(lengths):
        if length > most:
            message = f"text {place} has {length} tokens, and this embedder reads {most}; cut it into pieces"
            raise InvalidInput(message, pointer=f"/input/{place}")


def _encoded(body: EmbeddingsBody, vectors: Vectors, n_tokens: int) -> bytes:
    packed = body.encoding_format == "base64"
    data = [
        _Embedding(index=index, embedding=_packed(row) if packed else row.tolist()) for index, row in enumerate(vectors)
    ]
    return msgspec.json.encode(_Embeddings(data=data, model=body.model, usage=_Usage(n_tokens, n_tokens)))


def _packed(vector: Vectors) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
