"""What a piece of batched work went through."""

from msgspec import Struct


class Timing(Struct, frozen=True, kw_only=True):
    """What a piece of batched work went through."""

    queued_s: float
    ran_s: float
    batch_size: int
