"""A model behind a budget: the most that a call can cost is set aside before, and what it did cost is settled after."""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace

from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.deadline import Clock, Deadline
from rag.base.errors import BudgetExceeded, Forbidden, GroundwireError, for_the_log
from rag.base.events import Closing
from rag.base.ids import unique_id
from rag.base.ports import ChatModel
from rag.base.types import ModelEvent, Prompt, TextDelta, Usage
from rag.govern.accounts import AccountBook
from rag.govern.allowance import MICROUSD, Account, period_of, until_next
from rag.govern.ledger import Ledger, Purse, Reservation

_log = logging.getLogger(__name__)

DEFAULT_MAX_TOKENS = 4_096
"""How long an answer may be that is paid from a budget, where the caller does not say: its price must have a bound."""

LEASE_MARGIN_S = 60.0
"""How long after its deadline a call is taken for lost."""


class Tariff(Protocol):
    """What calls of one model cost, in micro-dollars."""

    def bound(self, prompt: Prompt) -> int:
        """The most that it can cost to answer `prompt`."""
        ...

    def cost(self, usage: Usage) -> int:
        """What a call with this usage did cost."""
        ...

    def estimate(self, prompt: Prompt, written: str) -> Usage:
        """The likely usage of a call that was cut off after so much text."""
        ...


class BudgetedModel:
    """A ChatModel that only those call who can pay for it. `tariff=None`: nobody knows its price."""

    def __init__(
        self,
        model: ChatModel,
        tariff: Tariff | None,
        ledger: Ledger,
        book: AccountBook,
        *,
        clock: Clock = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._model = model
        self._tariff = tariff
        self._ledger = ledger
        self._book = book
        self._clock = clock
        self._now = now

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._model.name

    def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. Raises also BudgetExceeded, and Forbidden for a model without a price under a budget."""
        accounts = [one for one in self._book.of(prompt.key_id) if one.allowance.budget_microusd is not None]
        return self._paid(accounts, prompt, deadline) if accounts else self._model.stream(prompt, deadline)

    async def _paid(self, accounts: list[Account], prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        if self._tariff is None:
            raise Forbidden(
                f"the account '{accounts[0].name}' has a budget, and nobody knows what the model '{self.name}' costs; "
                "set its `price` under [models]"
            )
        prompt = prompt if prompt.max_tokens is not None else replace(prompt, max_tokens=DEFAULT_MAX_TOKENS)
        reservation = await self._reserved(accounts, self._tariff.bound(prompt), deadline)
        call = _Call(self._tariff, prompt)
        try:
            async with Closing(self._model.stream(prompt, deadline)) as events:
                async for event in events:
                    call.take(event)
                    yield event
        except GroundwireError:
            call.failed = True
            raise
        finally:
            await self._settle(reservation, call.cost())  # which no second cancellation interrupts: see `shielded`

    async def _reserved(self, accounts: list[Account], microusd: int, deadline: Deadline) -> Reservation:
        now = self._now()
        reservation = Reservation(
            id=unique_id(),
            purses=tuple(_purse(account, now) for account in accounts),
            microusd=microusd,
            lease_until_s=now.timestamp() + deadline.remaining_s(self._clock) + LEASE_MARGIN_S,
        )
        lacking = await self._ledger.reserve(reservation, now.timestamp())
        if lacking is not None:
            account = accounts[reservation.purses.index(lacking)]
            raise BudgetExceeded(
                f"the budget of '{account.name}' for {lacking.period} does not cover this call, which could cost up to "
                f"${microusd / MICROUSD:.6f}; ask for fewer tokens, or have the budget raised",
                retry_after_s=until_next(account.allowance.period, now) or math.inf,
            )
        return reservation

    async def _settle(self, reservation: Reservation, microusd: int) -> None:
        try:
            await self._ledger.settle(reservation, microusd)
        except GroundwireError as error:  # the lease ends by itself, and counts in full: never too little
            _log.warning("a call could not be settled: %s", for_the_log(error))


class _Call:
    """What is known of one call's cost while it runs."""

    def __init__(self, tariff: Tariff, prompt: Prompt) -> None:
        self._tariff = tariff
        self._prompt = prompt
        self._usage: Usage | None = None
        self._written: list[str] = []
        self.failed = False

    def take(self, event: ModelEvent) -> None:
        if isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, (TextDelta, ReasoningDelta)):
            self._written.append(event.text)
        elif isinstance(event, ToolCallDelta):
            self._written.append(event.name + event.arguments)

    def cost(self) -> int:
        """By the provider's count; else by ours. Nothing for a call that failed before its first word."""
        if self._usage is not None:
            return self._tariff.cost(self._usage)
        if self.failed and not self._written:
            return 0
        return self._tariff.cost(self._tariff.estimate(self._prompt, "".join(self._written)))


def _purse(account: Account, now: datetime) -> Purse:
    allowance = account.allowance
    return Purse(
        account=account.name,
        period=period_of(allowance.period, now),
        limit_microusd=allowance.budget_microusd or 0,
    )
