"""Whether an answer still rests on what a search finds now.

The model's answer is a function of its prompt, and the prompt of the question and the chunks it is shown. So the same
question with the same chunks in the same order has, to the byte, the prompt that was answered: such an answer is right
however the index has changed meanwhile. A different wording is held to what issue trackers of other caches ask for:
what was cited must be found again, and nothing unread may have come before it.
"""

from collections.abc import Collection, Sequence

from cache.entry import Evidence


def same_context(kept: Sequence[Evidence], now: Sequence[Evidence]) -> bool:
    """Whether a model would read now what it read then."""
    return tuple(kept) == tuple(now)


def still_supported(
    kept: Collection[Evidence], cited: Collection[Evidence], context: Collection[Evidence], ranked: Sequence[Evidence]
) -> bool:
    """Whether the answer to one question rests on what was found for another.

    All that is cited is in the new context with the same words, and above the last of it in the new order stands
    nothing that the model had not read.
    """
    if not cited or not set(cited) <= set(context):
        return False
    places = {evidence: place for place, evidence in enumerate(ranked)}
    lowest = max(places.get(evidence, len(ranked)) for evidence in cited)
    return set(ranked[: lowest + 1]) <= set(kept)
