"""Which kept answer may serve another wording of its question. Pure but for what the ledger has learned."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from cache.entry import Evidence, Hit
from cache.evidence import still_supported
from cache.gates import refused_by
from cache.risk import Ledger, Match

CANDIDATES: Final = 6
"""How many of the nearest are looked at: wordings of different questions may crowd around one."""


class Asked(Struct, frozen=True, kw_only=True):
    """A question that was just searched for, and the least similarity that its caller and the settings allow.

    `context` is what a model would read now, `ranked` all that was found, best first.
    """

    text: str
    context: Sequence[Evidence]
    ranked: Sequence[Evidence]
    min_similarity: float
    max_age_s: float | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What became of the nearest entries.

    `hit` may be served when `rejected_by` is None. When it is "wording" or "risk" the hit would be a loose one that
    nothing else spoke against, worth comparing with the answer that is made instead.
    """

    hit: Hit | None = None
    match: Match = "strict"
    similarity: float | None = None
    rejected_by: str | None = None


def judged(asked: Asked, nearest: Sequence[Hit], ledger: Ledger) -> Verdict:
    """The first of the nearest that may be served; else why the nearest may not."""
    verdicts = [judge(asked, hit, ledger) for hit in nearest]
    served = next((verdict for verdict in verdicts if verdict.rejected_by is None), None)
    first = verdicts[0] if verdicts else Verdict()
    if served is not None:
        return served
    return next((verdict for verdict in verdicts if verdict.hit is not None), first)


def judge(asked: Asked, hit: Hit, ledger: Ledger) -> Verdict:
    """The verdict on one entry, the cheapest test first."""
    similarity = hit.similarity or 0.0
    gate = None if similarity < asked.min_similarity else refused_by(asked.text, hit.entry.question.text)
    match: Match = "loose" if gate == "wording" else "strict"
    if similarity < asked.min_similarity:
        reason = "similarity"
    elif asked.max_age_s is not None and hit.age_s > asked.max_age_s:
        reason = "age"
    elif gate and match == "strict":
        reason = gate
    elif not still_supported(hit.entry.evidence, hit.entry.cited, asked.context, asked.ranked):
        reason = "evidence"
    elif ledger.admits(hit.entry.key.digest, similarity, match):
        return Verdict(hit=hit, match=match, similarity=similarity)
    else:
        return Verdict(hit=hit, match=match, similarity=similarity, rejected_by=gate or "risk")
    return Verdict(similarity=similarity, rejected_by=reason)
