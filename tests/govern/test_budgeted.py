import asyncio
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime

import msgspec
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, BudgetExceeded, Forbidden, Unavailable
from rag.base.types import TextDelta, Usage
from rag.govern.accounts import AccountBook
from rag.govern.allowance import Allowance
from rag.govern.budgeted import BudgetedModel
from rag.govern.keys import new_key
from rag.govern.ledgers.sqlite import open_sqlite_ledger
from tests.fakes import ScriptedModel
from tests.prompts import a_prompt

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEXT = "one two three four"


class WordTariff:
    """A micro-dollar a word, in and out."""

    def bound(self, prompt):
        return prompt.n_tokens + prompt.max_tokens

    def cost(self, usage):
        return usage.input_tokens + usage.output_tokens

    def estimate(self, prompt, written):
        return Usage(input_tokens=prompt.n_tokens, output_tokens=len(written.split()), estimated=True)


@pytest.fixture
async def ledger(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(open_sqlite_ledger(tmp_path / "ledger.sqlite"))


def a_key(**allowance):
    _, key = new_key("ann")
    return msgspec.structs.replace(key, allowance=Allowance(**allowance))


def budgeted(ledger, key, model=None, tariff=None, configured=None):
    book = AccountBook([key], configured)
    return BudgetedModel(model or ScriptedModel(TEXT), tariff or WordTariff(), ledger, book, now=lambda: NOW)


def paid_by(key, max_tokens=50):
    return msgspec.structs.replace(a_prompt("why?", "because", max_tokens=max_tokens), key_id=key.id)


async def asked(model, prompt):
    return [event async for event in model.stream(prompt, Deadline.after(5))]


async def spent(ledger):
    return [(one.account, one.spent_microusd, one.reserved_microusd) for one in await ledger.balances([])]


async def test_a_call_costs_what_the_provider_counted(ledger):
    key = a_key(budget_usd=1)
    prompt = paid_by(key)
    events = await asked(budgeted(ledger, key), prompt)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == TEXT
    assert await spent(ledger) == [(f"key:{key.id}", prompt.n_tokens + 4, 0)]


async def test_every_level_above_the_key_pays(ledger):
    key = msgspec.structs.replace(a_key(), account="acme/search")
    configured = {"acme": Allowance(budget_usd=1), "acme/search": Allowance(budget_usd=1, period="day")}
    prompt = paid_by(key)
    await asked(budgeted(ledger, key, configured=configured), prompt)
    cost = prompt.n_tokens + 4
    assert await spent(ledger) == [("acme", cost, 0), ("acme/search", cost, 0)]


async def test_a_call_that_could_cost_more_than_is_left_is_never_made(ledger):
    key, model = a_key(budget_usd=0.00006, period="day"), ScriptedModel(TEXT)
    with pytest.raises(BudgetExceeded, match=r"does not cover this call") as refused:
        await asked(budgeted(ledger, key, model), paid_by(key))
    assert refused.value.retry_after_s == 12 * 3600
    assert model.prompts == []


async def test_a_budget_that_is_never_renewed_names_no_time(ledger):
    key = a_key(budget_usd=0, period="total")
    with pytest.raises(BudgetExceeded) as refused:
        await asked(budgeted(ledger, key), paid_by(key))
    assert refused.value.retry_after_s == float("inf")


async def test_a_model_without_a_price_is_refused_under_a_budget_only(ledger):
    key, free = a_key(budget_usd=1), a_key()
    model = BudgetedModel(ScriptedModel(TEXT), None, ledger, AccountBook([key, free]), now=lambda: NOW)
    with pytest.raises(Forbidden, match="set its `price`"):
        await asked(model, paid_by(key))
    assert await asked(model, paid_by(free))


async def test_a_call_that_fails_before_its_first_word_is_free(ledger):
    key = a_key(budget_usd=1)
    with pytest.raises(BadDependency):
        await asked(budgeted(ledger, key, ScriptedModel("", failure=BadDependency("no"))), paid_by(key))
    assert await spent(ledger) == [(f"key:{key.id}", 0, 0)]


async def test_a_call_that_fails_later_costs_what_it_wrote(ledger):
    key = a_key(budget_usd=1)
    prompt = paid_by(key)
    with pytest.raises(BadDependency):
        await asked(budgeted(ledger, key, ScriptedModel(TEXT, failure=BadDependency("no"))), prompt)
    assert await spent(ledger) == [(f"key:{key.id}", prompt.n_tokens + 4, 0)]


async def test_a_caller_who_leaves_pays_for_what_was_written(ledger):
    key = a_key(budget_usd=1)
    prompt = paid_by(key)
    async with aclosing(budgeted(ledger, key, ScriptedModel(TEXT, step=4)).stream(prompt, Deadline.after(5))) as events:
        await anext(events)
    assert await spent(ledger) == [(f"key:{key.id}", prompt.n_tokens + 1, 0)]


async def test_a_cancelled_call_is_settled(ledger):
    key = a_key(budget_usd=1)

    class Silent:
        name = "silent@1"

        async def stream(self, prompt, deadline):
            await asyncio.Event().wait()
            yield TextDelta(text="never")

    task = asyncio.create_task(asked(budgeted(ledger, key, Silent()), paid_by(key)))
    while not await ledger.balances([]):  # noqa: ASYNC110 the ledger is the only one who knows
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [(_, _, reserved)] = await spent(ledger)
    assert reserved == 0


async def test_a_ledger_that_is_down_refuses_before_and_never_hides_an_answer_after(ledger):
    class Falling:
        def __init__(self, n_calls):
            self.n_calls = n_calls

        async def reserve(self, reservation, now_s):
            self._count()
            return await ledger.reserve(reservation, now_s)

        async def settle(self, reservation, microusd):
            self._count()

        def _count(self):
            self.n_calls -= 1
            if self.n_calls < 0:
                raise Unavailable("the ledger does not answer")

    key = a_key(budget_usd=1)
    with pytest.raises(Unavailable):
        await asked(budgeted(Falling(0), key), paid_by(key))
    assert await asked(budgeted(Falling(1), key), paid_by(key))
    [(_, spent_microusd, reserved)] = await spent(ledger)
    assert spent_microusd == 0
    assert reserved > 0, "the lease counts in full until it ends"
