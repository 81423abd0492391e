"""Where records are kept, and what of each request is."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from rag.base.secret import Secret

Share = Annotated[float, Meta(ge=0, le=1)]


class SqliteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sqlite"):
    """A file `records.db` in the data folder."""


class PostgresConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="postgres"):
    """A PostgreSQL server, such as `postgresql://user@host/groundwire`; several processes may share it."""

    url: Secret
    timeout_s: Annotated[float, Meta(gt=0)] = 5.0


RecordsConfig = SqliteConfig | PostgresConfig


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the request log keeps, and for how long.

    Of requests that went well the share `sample` is kept; errors, degraded answers, answers under `low_confidence`
    and those that get a thumb down within `feedback_window_s` are all kept.
    """

    enabled: bool = True
    content: Literal["none", "redacted"] = "none"
    sample: Share = 1.0
    low_confidence: Share = 0.3
    feedback_window_s: Annotated[float, Meta(ge=0)] = 24 * 3600.0
    max_age_s: Annotated[float, Meta(gt=0)] = 30 * 24 * 3600.0
    max_bytes: Annotated[int, Meta(gt=0)] = 2**30
    queue_records: Annotated[int, Meta(ge=1)] = 10_000
    """How many records may wait for the database; more are dropped, and counted."""
