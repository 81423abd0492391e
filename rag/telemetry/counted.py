"""Models whose tokens and money are counted, call by call, and whose calls by themselves are told of."""

import time
from collections.abc import AsyncIterator, Callable

from rag.base.deadline import Clock, Deadline
from rag.base.events import Closing
from rag.base.ports import ChatModel
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Usage
from rag.telemetry import names
from rag.telemetry.attributes import Peer, provider
from rag.telemetry.metrics import Metrics
from rag.telemetry.spent import SPENT, Spent, Tariff, price_of
from rag.telemetry.told import REQUEST_ID, Told, class_of, outcome_of_error
from rag.telemetry.within import within


class CountedModel:
    """A `ChatModel` that counts what each call is charged for: for `/metrics`, and for the request that made it."""

    def __init__(self, model: ChatModel, metrics: Metrics, peer: Peer, tariff: Tariff | None) -> None:
        self.name = model.name
        self._model = model
        self._metrics = metrics
        self._provider = provider(peer)
        self._tariff = tariff
        self._price = price_of(tariff)

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. A call that was cut off is charged for too; its usage is estimated."""
        usage: Usage | None = None
        written: list[str] = []
        try:
            async with Closing(self._model.stream(prompt, deadline)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        written.append(event.text)
                    elif isinstance(event, Usage):
                        usage = event
                    yield event
        finally:
            if usage is None and written and self._tariff is not None:
                usage = self._tariff.estimate(prompt, "".join(written))
            if usage is not None:
                self._count(usage)

    def _count(self, usage: Usage) -> None:
        add, cost_usd = self._metrics.add, self._price(usage)
        add(names.LLM_TOKENS, self._provider, self.name, "input", amount=usage.input_tokens)
        add(names.LLM_TOKENS, self._provider, self.name, "output", amount=usage.output_tokens)
        if usage.cached_tokens:
            add(names.LLM_TOKENS, self._provider, self.name, "cached", amount=usage.cached_tokens)
        if cost_usd is not None:
            add(names.COST, self._provider, self.name, amount=cost_usd)
        spent = SPENT.get()
        if spent is not None:
            spent.add(usage, cost_usd)


class ToldModel:
    """A `ChatModel` under the name `alias`, whose calls from outside of a question are told of, like a question."""

    def __init__(
        self,
        alias: str,
        model: ChatModel,
        tell: Callable[[Told], None],
        subject_of: Callable[[str], str],
        clock: Clock = time.monotonic,
    ) -> None:
        self._alias = alias
        self._model = model
        self._tell = tell
        self._subject_of = subject_of
        self._clock = clock

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._model.name

    def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port."""
        events = self._model.stream(prompt, deadline)
        if SPENT.get() is not None:
            return events
        call = _Call(self._clock)

        def ended(failed: BaseException | None) -> None:
            self._tell(
                call.told(failed, model=self._alias, prompt=prompt, subject=self._subject_of(prompt.key_id)),
            )

        return within(SPENT, call.spent, events, call.note, ended)


class _Call:
    """What becomes known of a call that is no part of answering a question."""

    def __init__(self, clock: Clock) -> None:
        self.spent = Spent()
        self._clock = clock
        self._started_s = clock()
        self._ttft_s: float | None = None
        self._is_answered = False

    def note(self, event: ModelEvent) -> None:
        if self._ttft_s is None:
            self._ttft_s = self._clock() - self._started_s
        self._is_answered = self._is_answered or isinstance(event, Finished)  # after it readers may leave

    def told(self, failed: BaseException | None, *, model: str, prompt: Prompt, subject: str) -> Told:
        fault = failed if isinstance(failed, Exception) else None
        return Told(
            kind="chat",
            request_id=REQUEST_ID.get(),
            tenant=prompt.tenant,
            subject=subject,
            outcome=outcome_of_error(fault) if fault else "answered" if self._is_answered else "left",
            error=class_of(fault) if fault else None,
            model=model,
            question=prompt.question or None,
            duration_s=self._clock() - self._started_s,
            ttft_s=self._ttft_s,
            spent=self.spent,
        )
