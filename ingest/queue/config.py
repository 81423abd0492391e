"""Where documents wait for workers: the `kind` of the section `[queue]`."""

from typing import Annotated

from msgspec import Meta, Struct

from rag.base.secret import Secret

Slots = Annotated[int, Meta(ge=1, le=64)]


class NoQueueConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Who hands a document in waits until it is indexed, by the same process."""


class WorkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How workers work, whatever tells them to."""

    name: Annotated[str, Meta(pattern="^[a-z0-9_-]{1,64}$")] = "groundwire"
    """Servers and workers of one name belong together."""
    upload_slots: Slots = 4
    """Documents that were handed in one by one and that one worker indexes at a time."""
    backfill_slots: Slots = 4
    """The same for documents of a bulk run: they have their own, so that an upload never waits behind them."""
    attempts: Annotated[int, Meta(ge=1, le=1000)] = 5
    """After so many a document is failed. While the store or a model is away, attempts do not count."""
    timeout_s: Annotated[float, Meta(gt=0)] = 300.0
    """How long embedding and storing one document may take."""
    lease_s: Annotated[float, Meta(ge=3)] = 30.0
    """A worker that is not heard of for so long is taken for dead, and others go on with its documents."""


class RedisQueueConfig(WorkConfig, frozen=True, kw_only=True, tag_field="kind", tag="redis"):
    """A Redis or Valkey server, by its URL. Needs the extras `queue` and `redis`."""

    url: Secret


class PostgresQueueConfig(WorkConfig, frozen=True, kw_only=True, tag_field="kind", tag="postgres"):
    """A PostgreSQL database, by its URL. Needs the extras `queue` and `postgres`."""

    url: Secret


QueueConfig = NoQueueConfig | RedisQueueConfig | PostgresQueueConfig
