"""Which requests are kept in the log, and with which probability: decided here, pure."""

from rag.records.config import LogConfig
from rag.records.requests import RequestRecord

FINE = frozenset({"answered", "cache_hit"})


def is_notable(record: RequestRecord, config: LogConfig) -> bool:
    """Whether all records like this one are kept: it failed, was degraded, refused, left, or scored low."""
    unsure = record.confidence is not None and record.confidence < config.low_confidence
    return record.outcome not in FINE or bool(record.degraded) or unsure


def sampled(record: RequestRecord, config: LogConfig, draw: float) -> tuple[float, bool]:
    """The probability with which such a record is kept, and whether this one is; `draw` is uniform in [0, 1)."""
    probability = 1.0 if is_notable(record, config) else config.sample
    return probability, draw < probability
