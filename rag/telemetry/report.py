"""What a queue tells of its work."""

from msgspec import Struct


class BatchReport(Struct, frozen=True, kw_only=True):
    """One batch that ran: for metrics and for the span that links to the requests it served."""

    queue: str
    n_items: int
    n_tokens: int
    padded_tokens: int
    waited_s: float
    ran_s: float
    n_waiting: int
    failed: bool
