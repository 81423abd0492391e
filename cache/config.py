"""The settings of the answer cache."""

from typing import Annotated

from msgspec import Meta, Struct


class NoCacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Answer every question anew. Equal questions in flight are still answered once."""


class ExactCacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="exact"):
    """Give an answer again to the same question of a reader with the same rights while the index has not changed."""

    max_bytes: Annotated[int, Meta(ge=0)] = 64 * 2**20
    ttl_s: Annotated[float, Meta(gt=0)] = 24 * 3600.0


CacheConfig = ExactCacheConfig | NoCacheConfig
