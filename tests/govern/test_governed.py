import msgspec
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError, Forbidden, QuotaExceeded
from rag.govern.accounts import AccountBook
from rag.govern.allowance import Allowance
from rag.govern.governed import GovernedModel
from rag.govern.keys import new_key
from rag.govern.meters import Meters
from rag.govern.schedules import LocalSchedules
from tests.clocks import HandClock
from tests.fakes import ScriptedModel
from tests.prompts import a_prompt


def a_key(**changes):
    return msgspec.structs.replace(new_key("ann")[1], **changes)


def asks(key, max_tokens):
    return msgspec.structs.replace(a_prompt("why?", max_tokens=max_tokens), key_id=key.id)


async def asked(model, prompt):
    return [event async for event in model.stream(prompt, Deadline.after(5))]


async def test_a_model_that_is_not_on_the_list_is_forbidden():
    key = a_key(allowance=Allowance(models=("small",)))
    book, model = AccountBook([key]), ScriptedModel("x")
    with pytest.raises(Forbidden, match="may not use the model 'big'"):
        await asked(GovernedModel("big", model, book, Meters(LocalSchedules())), asks(key, 10))
    assert model.prompts == []
    assert await asked(GovernedModel("small", model, book, Meters(LocalSchedules())), asks(key, 10))


async def test_what_nobody_asks_by_name_is_on_no_list_and_counts():
    key = a_key(allowance=Allowance(models=("small",), tokens_per_minute=1_000))
    meters, book = Meters(LocalSchedules(HandClock())), AccountBook([key])
    assert await asked(GovernedModel(None, ScriptedModel("x"), book, meters), asks(key, 10))
    standing = await meters.standing(book.of(key.id), "tokens")
    assert standing is not None
    assert standing.n_remaining < 1_000


async def test_only_the_tokens_that_were_used_count():
    key = a_key(allowance=Allowance(tokens_per_minute=1_000))
    meters, book = Meters(LocalSchedules(HandClock())), AccountBook([key])
    model, prompt = GovernedModel("m", ScriptedModel("four words it is"), book, meters), asks(key, 900)
    for _ in range(2):
        await asked(model, prompt)
    standing = await meters.standing(book.of(key.id), "tokens")
    assert standing is not None
    assert standing.n_remaining == 1_000 - 2 * (prompt.n_tokens + 4)


async def test_a_call_that_may_write_more_than_is_left_waits_its_turn():
    key = a_key(allowance=Allowance(tokens_per_minute=1_000))
    meters, book = Meters(LocalSchedules(HandClock())), AccountBook([key])
    await meters.take(book.of(key.id), "tokens", 600)
    with pytest.raises(QuotaExceeded) as refused:
        await asked(GovernedModel("m", ScriptedModel("x"), book, meters), asks(key, 500))
    assert 0 < refused.value.retry_after_s < 60


async def test_callers_without_allowances_are_left_alone():
    key = a_key()
    assert await asked(
        GovernedModel("m", ScriptedModel("x"), AccountBook([key]), Meters(LocalSchedules())), asks(key, 10**6)
    )


def test_a_key_on_an_unknown_account_is_refused():
    with pytest.raises(ConfigError, match="the account 'acme', which is not under"):
        AccountBook([a_key(account="acme")])
