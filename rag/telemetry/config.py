"""Which traces are kept, what they tell, and where they go; and how log lines look."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from rag.base.secret import Secret


class TracingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share `sample` of requests is kept, and all that failed, were degraded or took longer than `slow_s`.

    A caller that sends a `traceparent` decides for its own requests. Without `endpoint` traces stay in memory.
    """

    enabled: bool = True
    sample: Annotated[float, Meta(ge=0, le=1)] = 1.0
    slow_s: Annotated[float, Meta(gt=0)] = 10.0
    content: Literal["none", "redacted"] = "none"
    memory_traces: Annotated[int, Meta(ge=0, le=100_000)] = 200
    endpoint: Annotated[str, Meta(pattern=r"^https?://[^\s?#@]+$")] | None = None
    headers: Mapping[str, Secret] = {}
    timeout_s: Annotated[float, Meta(gt=0)] = 10.0
    langfuse: bool = False


class LogsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`auto` is `text` on a terminal and `json` elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
