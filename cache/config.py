"""The settings of the answer cache."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0)]


class NoCacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Answer every question anew. Equal questions in flight are still answered once."""


class MemoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="memory"):
    """Give an answer again, in this process, to a reader with the same rights while what it rests on is the same."""

    max_bytes: Annotated[int, Meta(ge=0)] = 64 * 2**20
    ttl_s: Seconds = 24 * 3600.0
    time_words_ttl_s: Seconds = 300.0
    """For questions about the present: "today", "latest", "this week"."""
    model_ttl_s: dict[str, Seconds] = {}
    """In place of `ttl_s` for answers of these models."""
    keep_personal: bool = False
    """Whether to keep what holds addresses, telephone, card or bank numbers, or comes from a personal document."""


CacheConfig = MemoryConfig | NoCacheConfig
