"""Which part of a long conversation is summarised: a function of what was said alone, so that it can be remembered.

A conversation grows, and is sent whole each time. Were everything summarised that does not fit, each turn would pay for
another summary. So when the budget is exceeded more is folded than has to be, down to half of the room, and that cut
stays until the rest has outgrown the room again. Every cut follows from what was said up to it, so the cuts of a
conversation are among those of the same conversation later on, and a summary continues from the one before.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llm.usage import prompt_tokens
from rag.base.chat import PLAIN
from rag.base.types import Prompt, Turn

LEAD: Final = Turn(role="user", content="What has been said so far, in short?")
"""Asks for the summary, which is the assistant's word: models want speakers in turn, and trust users more."""
_TURN_TOKENS: Final = prompt_tokens((Turn(role="assistant", content=""),), PLAIN)


class Cut(Struct, frozen=True):
    """A place where the conversation was cut: `at` turns were folded, and `key` is the hash of those."""

    at: int
    key: bytes


class Fold(Struct, frozen=True, kw_only=True):
    """A conversation in two parts. `spoken` are its turns but for the system's; `cuts` rise, and the last one holds."""

    spoken: tuple[Turn, ...]
    cuts: tuple[Cut, ...]

    def since(self, cut: Cut | None) -> tuple[Turn, ...]:
        """What is folded by the last cut and was not by an earlier one; all of it for None."""
        return self.spoken[cut.at if cut else 0 : self.cuts[-1].at]


def folded(prompt: Prompt, history_tokens: int, summary_tokens: int) -> Fold | None:
    """How the history is cut so that what is left and a summary fit; None where all of it fits.

    What followed the last question is no history. Cuts stand before users' turns, so that no call of a tool is parted
    from its result; the newest turns stay whole if they fit.
    """
    spoken = tuple(turn for turn in prompt.messages if turn.role != "system")
    starts, lengths = _rounds(spoken)
    room = history_tokens - summary_tokens - _TURN_TOKENS - prompt_tokens((LEAD,), PLAIN)
    cuts = [starts[first] for first in _firsts_kept(lengths, history_tokens, room)]
    return Fold(spoken=spoken, cuts=tuple(_keyed(spoken, cuts))) if cuts else None


def summarised(prompt: Prompt, fold: Fold, summary: str) -> Prompt:
    """The prompt with the summary in place of what was folded, between what the system says and the rest."""
    told = Turn(role="assistant", content=summary)
    gone = fold.since(None)
    left, at = [], 0
    for turn in prompt.messages:
        at += turn.role != "system"
        if turn.role == "system" or at > len(gone):
            left.append(turn)
    first = next(place for place, turn in enumerate(left) if turn.role != "system")
    messages = (*left[:first], LEAD, told, *left[first:])
    n_tokens = prompt.n_tokens - prompt_tokens(gone, PLAIN) + prompt_tokens((LEAD, told), PLAIN)
    return replace(prompt, messages=messages, n_tokens=max(0, n_tokens))


def _rounds(spoken: Sequence[Turn]) -> tuple[list[int], list[int]]:
    """Where the rounds before the last question begin, each with a user's turn, and that question; and their tokens."""
    asked = [at for at, turn in enumerate(spoken) if turn.role == "user"]
    if not asked or asked[-1] == 0:
        return [0], []
    starts = asked if asked[0] == 0 else [0, *asked]
    lengths = [0] * (len(starts) - 1)
    for number in range(len(lengths)):
        turns = spoken[starts[number] : starts[number + 1]]
        lengths[number] = sum(prompt_tokens((turn,), PLAIN) for turn in turns)
    return starts, lengths


def _firsts_kept(lengths: Sequence[int], whole_room: int, room: int) -> Iterator[int]:
    """The number of the first round that is kept, each time that the rounds had outgrown their room."""
    first = tail = 0
    limit = whole_room
    for last, length in enumerate(lengths):
        tail += length
        if tail <= limit:
            continue
        while tail > room or (tail > room // 2 and first < last):
            tail -= lengths[first]
            first += 1
        limit = room
        yield first


def _keyed(spoken: Sequence[Turn], cuts: Sequence[int]) -> Iterator[Cut]:
    state, at = blake2b(digest_size=16), 0
    for cut in cuts:
        for turn in spoken[at:cut]:
            state.update(msgspec.json.encode(turn) + b"\n")
        at = cut
        yield Cut(cut, state.digest())
