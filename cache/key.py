"""When two requests are the same one: everything that an answer depends on but the index, in one canonical form."""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from rag.base.answers import Lineage
from rag.base.types import Access, Query

_NOT_PART: Final = frozenset(
    {"text", "principal", "request_id", "prompt", "cache", "cache_max_age_s", "cache_min_similarity"}
)
"""Of a query. The question stands apart, the access stands for the principal, and the lineage for the prompt.

Whatever else a query has counts.
"""


class CacheKey(Struct, frozen=True):
    """`digest` finds an entry, `canonical` proves that it is the right one: digests are never trusted alone.

    `scope` is all of it but the question: answers are never given across scopes.
    """

    digest: bytes
    canonical: bytes
    scope: bytes


def answer_key(query: Query, access: Access, lineage: Lineage, build: str) -> CacheKey:
    """The key of an answer. Letter case and white space count: `US` and `us`, and code, are different questions.

    `lineage` is what would make the answer, and `build` stands for the settings of all that.
    """
    asked = {name: getattr(query, name) for name in Query.__struct_fields__ if name not in _NOT_PART}
    grants = None if access.grants is None else sorted(access.grants)
    scope = msgspec.json.encode((access.tenant, grants, lineage, build, asked))
    canonical = msgspec.json.encode((query.text, msgspec.Raw(scope)))
    return CacheKey(blake2b(canonical, digest_size=32).digest(), canonical, blake2b(scope, digest_size=32).digest())
