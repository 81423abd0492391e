"""OpenAI's `/embeddings` on the wire: what is asked, and vectors from what comes back. Pure."""

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct

from rag.base.errors import BadDependency
from rag.base.ports import Vectors


class EmbeddingsRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call. The format is said because a server's own default may be base64."""

    model: str
    input: tuple[str, ...]
    encoding_format: str | None = None
    dimensions: int | None = None


class _Embedding(Struct, frozen=True):
    index: int
    embedding: list[float]


class _Embeddings(Struct, frozen=True):
    data: list[_Embedding]


def vectors_of(reply: bytes, n_texts: int, dimension: int, target: str) -> Vectors:
    """Unit vectors `(n_texts, dimension)` in the order of the texts, whatever the order of the reply.

    Raises BadDependency for another number of vectors, another dimension, an index that is missing or there twice, and
    vectors without a direction.
    """
    try:
        data = msgspec.json.decode(reply, type=_Embeddings).data
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise BadDependency(f"{target} answered with something that is no list of embeddings") from fault
    if len(data) != n_texts:
        raise BadDependency(f"{target} gave {len(data)} vectors for {n_texts} texts")
    if sorted(each.index for each in data) != list(range(n_texts)):
        raise BadDependency(f"{target} gave vectors whose indexes are not 0 to {n_texts - 1}, each once")
    wrong = next((len(each.embedding) for each in data if len(each.embedding) != dimension), None)
    if wrong is not None:
        raise BadDependency(f"{target} gave a vector of {wrong} numbers; its `dimension` setting says {dimension}")
    rows = np.empty((n_texts, dimension), dtype=np.float32)
    for each in data:
        rows[each.index] = each.embedding
    return unit(rows, target)


def unit(rows: Vectors, target: str) -> Vectors:
    """The rows at length one. Raises BadDependency where a row has no direction."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise BadDependency(f"{target} gave a vector of zeros or without finite length")
    return np.asarray(rows / lengths, dtype=np.float32)


def body_of(model: str, texts: Sequence[str], dimension: int | None) -> bytes:
    """The request for the vectors of `texts`, none of which is empty."""
    request = EmbeddingsRequest(model=model, input=tuple(texts), encoding_format="float", dimensions=dimension)
    return msgspec.json.encode(request)
