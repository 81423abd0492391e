"""One kept reply of a model to a whole request of the gateway: what it is kept under, and whether it may be. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from cache.config import MemoryConfig, RepliesConfig
from cache.policy import is_of_the_present, is_personal
from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.types import HISTORY_SUMMARY, CacheMode, Finished, ModelEvent, Prompt, TextDelta

OVERHEAD_BYTES: Final = 768
"""Objects around the texts of one reply, measured as about 0.7 kB (CPython 3.11, 2026-11-24)."""
MAX_PROMPT_TOKENS: Final = 16_384
"""Longer prompts seldom come twice, and looking through one for what is personal takes 0.1 ms for each kB (2026-11)."""
_NOT_PART: Final = frozenset({"tenant", "key_id", "template", "n_tokens", "question", "sources"})
"""Of a prompt: who asks stands apart, and the rest follows from the messages. Whatever else a prompt has counts."""


class Wish(Struct, frozen=True, kw_only=True):
    """What a caller asks of the memory; `is_asked` if the caller said anything at all.

    `min_similarity` is for answers from documents: replies are only given to the same request.
    """

    mode: CacheMode = "use"
    max_age_s: float | None = None
    min_similarity: float | None = None
    is_asked: bool = False


class Reply(Struct, frozen=True, kw_only=True):
    """A whole reply, each kind of event in one piece. `request` is what it answers, and for whom."""

    request: bytes
    tenant: str
    events: tuple[ModelEvent, ...]
    stored_at_s: float
    ttl_s: float
    saved_s: float
    saved_usd: float | None

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        texts = (event.text for event in self.events if isinstance(event, TextDelta | ReasoningDelta))
        return OVERHEAD_BYTES + len(self.request) + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def request_of(name: str, prompt: Prompt, build: str, config: RepliesConfig) -> bytes:
    """All that the reply of the model or route `name` depends on, and who may be given it, in one canonical form.

    `build` stands for the settings of all models.
    """
    asked = {field: getattr(prompt, field) for field in Prompt.__struct_fields__ if field not in _NOT_PART}
    key_id = prompt.key_id if config.shared_by == "key" else None
    return msgspec.json.encode((prompt.tenant, key_id, build, name, asked))


def passed_by(prompt: Prompt, wish: Wish, config: RepliesConfig) -> str | None:
    """Why the memory has no part in a request, or None: "images", "length" or "temperature".

    Whoever asks for variety is not given the same again: only temperature 0 says that one reply is as good as another.
    """
    if prompt.n_tokens > MAX_PROMPT_TOKENS:
        return "length"
    if any(turn.images for turn in prompt.messages):
        return "images"
    if prompt.temperature == 0 or config.any_temperature or wish.is_asked:
        return None
    return "temperature"


def is_fit(prompt: Prompt, events: Iterable[ModelEvent], config: MemoryConfig) -> bool:
    """Whether what a model said may be kept: it ended by itself, called no tool, and nothing in it is personal.

    Nor may what was said to a conversation whose summary failed: the next one may not fail.
    """
    said = [*events]
    if any(isinstance(event, ToolCallDelta) for event in said):
        return False
    finished = next((event for event in said if isinstance(event, Finished)), None)
    if finished is None or finished.reason != "stop" or HISTORY_SUMMARY in finished.dropped:
        return False
    texts = [turn.content for turn in prompt.messages]
    texts += [event.text for event in said if isinstance(event, TextDelta)]
    return config.keep_personal or not any(map(is_personal, texts))


def ttl_s(prompt: Prompt, config: MemoryConfig) -> float:
    """How long a reply to the prompt is good: less where the question is about the present."""
    full_s = config.replies.ttl_s
    return min(full_s, config.time_words_ttl_s) if is_of_the_present(prompt.question) else full_s


def in_pieces(events: Iterable[ModelEvent]) -> tuple[ModelEvent, ...]:
    """The events with all thoughts in one piece, then all text in one, then the rest."""
    said = [*events]
    thought = "".join(event.text for event in said if isinstance(event, ReasoningDelta))
    text = "".join(event.text for event in said if isinstance(event, TextDelta))
    pieces: list[ModelEvent] = [ReasoningDelta(text=thought)] if thought else []
    pieces += [TextDelta(text=text)] if text else []
    return (*pieces, *(event for event in said if not isinstance(event, TextDelta | ReasoningDelta)))
