"""Who goes next: what a batch may hold, and which of those who wait it takes. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from rag.base.types import Lane


class BatchLimits(Struct, frozen=True, kw_only=True):
    """What a batch may hold and how much may wait. Token counts of padded backends are `longest x rows`."""

    n_parallel: int = 1
    """How many batches run at the same time."""
    max_items: int = 64
    interactive_tokens: int = 2_048
    bulk_tokens: int = 512
    """Smaller: a question that arrives waits for the running bulk batch."""
    padded: bool = False
    max_pad_waste: float = 0.15
    max_age_s: float = 5.0
    """From this age on an interactive item goes first, whatever its tenant. As long as anybody is let wait at the door:
    in a queue of half a second a bound of half a second meant first come, first served: who sent most had all."""
    max_bulk_age_s: float = 5.0
    """The same for bulk items, before interactive ones too: nothing starves. A group of them comes at once and ages at
    once, and then holds up everyone who asks."""
    credit_tokens: int = 2_048
    """What a tenant that has had nothing for a while may have before the others: about one question's reranking. Taking
    turns from its first item on, it would get half of the backend while it could have all for a moment."""
    beside_tokens: int = 0
    """What must wait for a batch to start beside an interactive one: less is cheaper together, after that one."""
    n_for_quiet: int = 0
    """How many more batches may run for tenants that ask for little: beside the others, not after them."""
    n_told_at_once: int = 64
    """How many callers go on in one turn of the event loop: others get theirs in between."""
    queue_tokens: int = 200_000
    """Per lane, so that ingestion never fills the queue of those who ask."""


class Ticket(Struct, frozen=True):
    """What the scheduler knows of one waiting item. `turn` is its tenant's virtual start time, in tokens."""

    n_tokens: int
    lane: Lane
    turn: float
    enqueued_s: float
    is_quiet: bool = False
    """Whether its tenant asks for much less than its share."""


def take_batch(waiting: Sequence[Ticket], now_s: float, limits: BatchLimits) -> list[int]:
    """The indices of the items that run next, in the order in which they should run.

    The head is the oldest item past its age bound, else the interactive item whose tenant has had the least, those of
    quiet tenants first, else the bulk one. Others of its kind join in the same order while the budget holds and, where
    rows are padded, while padding wastes at most `max_pad_waste` of the batch: a run takes as long as all that is in
    it, so quiet tenants have theirs to themselves. An item over the budget runs alone.
    """
    if not waiting:
        return []

    def order(index: int) -> tuple[bool, bool, bool, float, float]:
        ticket = waiting[index]
        bound_s = limits.max_bulk_age_s if ticket.lane == "bulk" else limits.max_age_s
        fresh = now_s - ticket.enqueued_s < bound_s
        if not fresh:
            return (False, False, False, 0.0, ticket.enqueued_s)
        return (True, ticket.lane == "bulk", not ticket.is_quiet, ticket.turn, ticket.enqueued_s)

    ranked = sorted(range(len(waiting)), key=order)
    head = waiting[ranked[0]]
    budget = limits.bulk_tokens if head.lane == "bulk" else limits.interactive_tokens
    batch = [ranked[0]]
    longest, total = head.n_tokens, head.n_tokens
    for index in ranked[1:]:
        if len(batch) == limits.max_items:
            break
        ticket = waiting[index]
        grown, summed = max(longest, ticket.n_tokens), total + ticket.n_tokens
        cost = grown * (len(batch) + 1) if limits.padded else summed
        wasteful = limits.padded and cost - summed > limits.max_pad_waste * cost
        is_alike = ticket.lane == head.lane and ticket.is_quiet == head.is_quiet
        if is_alike and cost <= budget and not wasteful:
            batch.append(index)
            longest, total = grown, summed
    return batch
