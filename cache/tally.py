"""What the cache did since the process started, and what that is worth."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from cache.replies import ReplyReport
from cache.risk import Estimate, Match
from rag.base.answers import CacheTier, Recall


class CacheReport(Struct, frozen=True, kw_only=True):
    """What is kept, and what happened since the start.

    `estimates` is how many semantic hits were wrong of those that were compared with an answer made anyway, with the
    upper end of the 95 % interval; loose ones are served from `loose_floor` on, if there is one yet.
    `replies` are those of models that the gateway asks, and counted apart.
    """

    entries: int
    bytes: int
    max_bytes: int
    lookups: int
    hits: Mapping[CacheTier, int]
    hit_rate: float | None
    rejected_by: Mapping[str, int]
    saved_s: float
    saved_usd: float
    estimates: Mapping[Match, Estimate]
    loose_floor: float | None
    replies: ReplyReport


class Tally:
    """Counts lookups."""

    def __init__(self) -> None:
        self.n_lookups = 0
        self.hits: Counter[CacheTier] = Counter({"exact": 0, "semantic": 0})
        self.rejected_by: Counter[str] = Counter()
        self.saved_s = 0.0
        self.saved_usd = 0.0

    def take(self, recall: Recall) -> None:
        """Counts one lookup."""
        self.n_lookups += 1
        if recall.tier:
            self.hits[recall.tier] += 1
        if recall.rejected_by:
            self.rejected_by[recall.rejected_by] += 1
        self.saved_s += recall.saved_s or 0.0
        self.saved_usd += recall.saved_usd or 0.0
