"""When two requests are the same one: everything that an answer depends on, in one canonical form."""

from hashlib import blake2b

import msgspec
from msgspec import Struct

from rag.base.types import Access, Filters, Query, Turn


class Scope(Struct, frozen=True, kw_only=True):
    """What answers, apart from the question. `epoch` grows with every change of the index that a reader can see."""

    index: str
    epoch: int
    embedder: str
    reranker: str
    template: str
    model: str


class CacheKey(Struct, frozen=True):
    """`digest` finds an entry, `canonical` proves that it is the right one: digests are never trusted alone."""

    digest: bytes
    canonical: bytes


class _Canonical(Struct, frozen=True, kw_only=True, array_like=True):
    tenant: str
    grants: list[str] | None
    question: str
    history: tuple[Turn, ...]
    filters: Filters
    top_k: int
    model: str | None
    max_tokens: int | None
    temperature: float | None
    scope: Scope


def answer_key(query: Query, access: Access, scope: Scope) -> CacheKey:
    """The key of an answer. Letter case and white space count: `US` and `us`, and code, are different questions."""
    canonical = _Canonical(
        tenant=access.tenant,
        grants=None if access.grants is None else sorted(access.grants),
        question=query.text,
        history=query.history,
        filters=query.filters,
        top_k=query.top_k,
        model=query.model,
        max_tokens=query.max_tokens,
        temperature=query.temperature,
        scope=scope,
    )
    encoded = msgspec.json.encode(canonical)
    return CacheKey(blake2b(encoded, digest_size=32).digest(), encoded)
