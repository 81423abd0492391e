"""Which target is asked next, and why: a pure function of what is known, and a record that explains it."""

from collections.abc import Sequence
from hashlib import blake2b
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from llm.routing.breaker import State
from llm.routing.config import Balancer

UNKNOWN_S = 1.0  # what is assumed of a target where nothing is known of any
_FLOOR_S = 1e-3  # faster than this no target is: in-flight calls decide then
AFFINITY_SLACK = 2.0  # the target of a prefix may be so many times as busy as the best one, and one call more


class Candidate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One target as it is seen at the moment of choosing. `tier`: lower ones are used up first.

    `excluded` says why it is out, and `ready_in_s` when it will be back, if that is known and of use to this request.
    `score` is what the balancer compared, lower is better; None where it was not looked at.
    """

    target: str
    model: str
    tier: int
    listed: str
    breaker: State
    weight: float
    share: float
    n_in_flight: int
    expected_s: float | None = None
    cost_usd: float | None = None
    excluded: str | None = None
    ready_in_s: float | None = None
    score: float | None = None


class Decision(Struct, frozen=True, kw_only=True):
    """What was chosen among whom. `chosen` is an index into `candidates`; None when every one is excluded."""

    candidates: tuple[Candidate, ...]
    chosen: int | None
    reason: str

    @property
    def ready_in_s(self) -> float | None:
        """When the first of them will be back; None when waiting does not help."""
        return min((one.ready_in_s for one in self.candidates if one.ready_in_s is not None), default=None)


def decide(candidates: Sequence[Candidate], balancer: Balancer, rng: Random, affinity: int | None = None) -> Decision:
    """The choice among the lowest tier in which a candidate is not excluded.

    latency: of two drawn by weight, the one with less expected work (power of two choices over peak-EWMA).
    weighted: drawn by weight. least_in_flight, cost: the least of all, by weight where they are equal.
    With `affinity` equal numbers go to the same candidate, unless it is much busier than the best. One that is
    half-open comes first: nothing but a call can bring it back, and its breaker lets through one at a time.
    """
    open_tiers = [one.tier for one in candidates if one.excluded is None and one.weight > 0]
    if not open_tiers:
        return Decision(candidates=tuple(candidates), chosen=None, reason="every target is excluded")
    tier = min(open_tiers)
    field = [at for at, one in enumerate(candidates) if one.tier == tier and one.excluded is None and one.weight > 0]
    if len(field) == 1:
        return Decision(candidates=tuple(candidates), chosen=field[0], reason="only one left")
    scores = _scores([candidates[at] for at in field], balancer)
    scored = list(candidates)
    for at, score in zip(field, scores, strict=True):
        scored[at] = replace(candidates[at], score=score)
    probe = next((at for at in field if scored[at].breaker == "half_open"), None)
    if probe is not None:
        return Decision(candidates=tuple(scored), chosen=probe, reason="probe")
    if affinity is not None:
        liked = max(field, key=lambda at: _affinity(affinity, scored[at].target))
        if _keeps_up(scored[liked], [scored[at] for at in field]):
            return Decision(candidates=tuple(scored), chosen=liked, reason="prefix")
    drawn = _drawn(field, scored, rng, 2 if balancer == "latency" else len(field))
    if balancer == "weighted":
        return Decision(candidates=tuple(scored), chosen=drawn[0], reason="weight")
    best = min(drawn, key=lambda at: scored[at].score or 0.0)  # the first drawn where they are equal
    return Decision(candidates=tuple(scored), chosen=best, reason=balancer)


def prefix_number(tenant: str, prefix: str) -> int:
    """The number of a prompt's beginning, for `affinity`: equal for equal beginnings of one tenant."""
    digest = blake2b(f"{tenant}\0{prefix}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _scores(field: Sequence[Candidate], balancer: Balancer) -> list[float]:
    """Lower is better. Where nothing is known of a target, it is taken for as fast as the fastest known."""
    if balancer == "cost":
        return [float("inf") if one.cost_usd is None else one.cost_usd for one in field]
    portions = [one.weight * one.share for one in field]
    if balancer == "latency":
        guess_s = min((one.expected_s for one in field if one.expected_s is not None), default=UNKNOWN_S)
        each_s = [max(guess_s if one.expected_s is None else one.expected_s, _FLOOR_S) for one in field]
        return [s * (one.n_in_flight + 1) / part for s, one, part in zip(each_s, field, portions, strict=True)]
    return [(one.n_in_flight + 1) / part for one, part in zip(field, portions, strict=True)]


def _drawn(field: Sequence[int], candidates: Sequence[Candidate], rng: Random, n: int) -> list[int]:
    """`n` of the field in random order, each drawn with the chance of its weight and share.

    Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006): the largest u^(1/w).
    """
    draw = {at: rng.random() ** (1.0 / (candidates[at].weight * candidates[at].share)) for at in field}
    return sorted(field, key=draw.__getitem__, reverse=True)[:n]


def _affinity(number: int, target: str) -> bytes:
    """Rendezvous hashing: when a target comes or goes, only its own prefixes move."""
    return blake2b(f"{number}\0{target}".encode(), digest_size=8).digest()


def _keeps_up(liked: Candidate, field: Sequence[Candidate]) -> bool:
    if liked.share < 1:
        return False
    least = min(one.n_in_flight / one.weight for one in field)
    is_idle = liked.n_in_flight / liked.weight <= AFFINITY_SLACK * least + 1
    known_s = [one.expected_s for one in field if one.expected_s is not None]
    return is_idle and (liked.expected_s is None or liked.expected_s <= AFFINITY_SLACK * min(known_s) + UNKNOWN_S)
