"""The settings of the answer cache."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from rag.base.secret import Secret

Seconds = Annotated[float, Meta(gt=0)]


class NoCacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Answer every question anew. Equal questions in flight are still answered once."""


class SemanticConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether an answer may serve another wording of its question.

    "shadow" serves none and compares what it would have served with the answer that is made instead.
    """

    mode: Literal["off", "shadow", "on"] = "on"
    min_similarity: Annotated[float, Meta(ge=0, le=1)] = 0.8
    max_false_hit_rate: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    """How many loose hits, whose words differ, may be wrong, with 95 % confidence, for any to be served."""
    verify_share: Annotated[float, Meta(ge=0, le=1)] = 0.01
    """Of semantic hits: answered anew all the same, to know how many are wrong."""


class RepliesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose replies to whole requests of the gateway are given again to the very same requests: nobody's by default."""

    models: tuple[str, ...] = ()
    """Names of models and routes."""
    max_bytes: Annotated[int, Meta(ge=0)] = 32 * 2**20
    ttl_s: Seconds = 3600.0
    any_temperature: bool = False
    """Whether requests that do not ask for temperature 0 are answered so too without asking for it."""
    shared_by: Literal["key", "tenant"] = "key"
    """Who may be given a reply that was made for another: nobody but the same key, or the keys of its tenant."""


class MemoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="memory"):
    """Give an answer again, in this process, to a reader with the same rights while what it rests on is the same."""

    max_bytes: Annotated[int, Meta(ge=0)] = 64 * 2**20
    ttl_s: Seconds = 24 * 3600.0
    time_words_ttl_s: Seconds = 300.0
    """For questions about the present: "today", "latest", "this week"."""
    model_ttl_s: dict[str, Seconds] = {}
    """In place of `ttl_s` for answers of these models."""
    persist: bool = True
    """Whether the cache survives a restart, in a file of the data folder."""
    redis_url: Secret | None = None
    """A Redis or Valkey server on which several servers share exact answers. Needs the extra `redis`."""
    semantic: SemanticConfig = SemanticConfig()
    keep_personal: bool = False
    """Whether to keep what holds addresses, telephone, card or bank numbers, or comes from a personal document."""
    replies: RepliesConfig = RepliesConfig()


CacheConfig = MemoryConfig | NoCacheConfig
