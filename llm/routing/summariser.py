"""Summaries of what was said, made by a model and remembered while the conversation goes on."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from llm.routing.config import SummaryConfig
from llm.routing.folding import Cut, Fold
from llm.usage import CHARS_PER_TOKEN, prompt_tokens
from rag.base.chat import PLAIN
from rag.base.deadline import Clock, Deadline
from rag.base.errors import BadDependency
from rag.base.events import Closing
from rag.base.ports import ChatModel
from rag.base.template import Template
from rag.base.types import Finished, Prompt, TextDelta, Turn

MAX_READ_CHARS: Final = 64_000
"""Of a conversation that comes whole and for the first time: the newest of what is to be summarised."""
MAX_KEPT_CHARS: Final = 8_000_000
KEPT_S: Final = 3_600.0
"""A conversation that rests for longer pays for another summary: what people said is not kept without need."""


class SummaryMemory:
    """Summaries by what they are of. Those that were not asked for longest go first. For one event loop."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, bytes], tuple[str, float]] = OrderedDict()
        self._n_chars = 0

    def get(self, scope: str, key: bytes) -> str | None:
        """The summary that was put there."""
        self._forget()
        found = self._kept.pop((scope, key), None)
        if found is None:
            return None
        self._kept[scope, key] = (found[0], self._clock())
        return found[0]

    def put(self, scope: str, key: bytes, summary: str) -> None:
        """Remembers it, for whoever asks in that scope."""
        old = self._kept.pop((scope, key), None)
        self._n_chars += len(summary) - (len(old[0]) if old else 0)
        self._kept[scope, key] = (summary, self._clock())
        self._forget()

    def _forget(self) -> None:
        expired_s = self._clock() - KEPT_S
        while self._kept and (self._n_chars > MAX_KEPT_CHARS or next(iter(self._kept.values()))[1] < expired_s):
            _, (summary, _) = self._kept.popitem(last=False)
            self._n_chars -= len(summary)


class Summariser:
    """Asks `model` for summaries by `template`; those of a tenant are no other tenant's."""

    def __init__(
        self, model: ChatModel, template: Template, config: SummaryConfig, memory: SummaryMemory, clock: Clock
    ) -> None:
        self.config = config
        self._model = model
        self._template = template
        self._memory = memory
        self._clock = clock

    async def summary_of(self, fold: Fold, prompt: Prompt, deadline: Deadline) -> str:
        """What was folded, in short; the prompt says who asks and pays. At most half of the time left is spent.

        Raises what the model raises, and BadDependency where it says nothing.
        """
        scope = f"{prompt.tenant}\0{self._model.name}\0{self._template.name}"
        known = self._newest_known(scope, fold)
        if known and known[0] == fold.cuts[-1]:
            return known[1]
        conversation = _told(fold.since(known[0] if known else None), known[1] if known else "")
        until_s = min(deadline.share(0.5, self._clock).at_s, self._clock() + self.config.timeout_s)
        summary = await self._asked(self._prompt(prompt, conversation), Deadline(until_s))
        self._memory.put(scope, fold.cuts[-1].key, summary)
        return summary

    def _newest_known(self, scope: str, fold: Fold) -> tuple[Cut, str] | None:
        for cut in reversed(fold.cuts):
            summary = self._memory.get(scope, cut.key)
            if summary is not None:
                return cut, summary
        return None

    def _prompt(self, prompt: Prompt, conversation: str) -> Prompt:
        template = self._template
        messages = (
            Turn(role="system", content=template.system),
            Turn(role="user", content=template.filled({"conversation": conversation})),
        )
        return Prompt(
            tenant=prompt.tenant,
            key_id=prompt.key_id,
            messages=messages,
            template=template.name,
            n_tokens=prompt_tokens(messages, PLAIN),
            question="",
            sources=(),
            max_tokens=self.config.max_tokens,
            temperature=0.0,
        )

    async def _asked(self, prompt: Prompt, deadline: Deadline) -> str:
        texts: list[str] = []
        finished: Finished | None = None
        async with Closing(self._model.stream(prompt, deadline)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    texts.append(event.text)
                elif isinstance(event, Finished):
                    finished = event
        summary = "".join(texts).strip()[: CHARS_PER_TOKEN * self.config.max_tokens]
        if not summary or finished is None or finished.reason not in ("stop", "length"):
            raise BadDependency(f"'{self._model.name}' gave no summary")
        return summary


class _Line(Struct, omit_defaults=True):
    """One turn, in a form that no content can break out of."""

    role: str
    content: str
    calls: tuple[dict[str, str], ...] = ()
    images: int = 0


def _told(turns: Sequence[Turn], earlier: str) -> str:
    """The turns as lines of JSON; of too many the newest, and of a long one its beginning."""
    lines: list[str] = []
    left = MAX_READ_CHARS
    for turn in reversed(turns):
        calls = tuple({"name": call.name, "arguments": call.arguments[:left]} for call in turn.tool_calls)
        line = _Line(role=turn.role, content=turn.content[:left], calls=calls, images=len(turn.images))
        lines.append(msgspec.json.encode(line).decode())
        left -= len(lines[-1])
        if left <= 0:
            break
    if earlier:
        lines.append(msgspec.json.encode(_Line(role="summary", content=earlier)).decode())
    return "\n".join(reversed(lines))
