"""The very same request is sent to a model once, for as long as its reply may be kept."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig, RepliesConfig
from cache.replies import Replies
from cache.reply import Wish
from cache.reply_memory import ReplyMemory
from rag.base.answers import Recall, SourcesFound
from rag.base.chat import Options
from rag.base.deadline import Deadline
from rag.base.errors import Unavailable
from rag.base.types import CacheMode, ModelEvent, Prompt, TextDelta, Turn
from tests.fakes import ScriptedModel
from tests.prompts import a_prompt

PROMPT = a_prompt("Why?")


class Time:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class House:
    """Kept replies in front of a model, and all that was told of them."""

    def __init__(self, model: ScriptedModel | None = None, *, max_bytes: int = 100_000) -> None:
        self.model = model or ScriptedModel("It is blue, and not green.")
        self.time = Time()
        self.build = "b"
        self.told: list[Recall] = []
        config = MemoryConfig(replies=RepliesConfig(models=("big",), max_bytes=max_bytes, ttl_s=60.0))
        self.replies = Replies(
            config,
            build=lambda: self.build,
            price=lambda model, usage: 0.5 if model == "scripted@1" and usage.output_tokens else None,
            told=self.told.append,
            clock=self.time,
        )

    async def ask(self, prompt: Prompt = PROMPT, wish: Wish | None = None) -> tuple[Recall, list[ModelEvent]]:
        answer = self.replies.answer("big", self.model, prompt, wish or Wish(), Deadline.after(10))
        first, *events = [event async for event in answer]
        assert isinstance(first, SourcesFound)
        assert not first.sources
        return first.cache, [event for event in events if not isinstance(event, SourcesFound)]


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_the_second_time_it_comes_from_memory_with_its_usage() -> None:
    house = House()
    (miss, fresh), (hit, kept) = await house.ask(), await house.ask()
    assert (miss.status, hit.status, hit.tier, hit.age_s, hit.saved_usd) == ("miss", "hit", "exact", 0.0, 0.5)
    assert text_of(kept) == text_of(fresh) == house.model.text
    assert kept[1:] == fresh[-2:]
    assert len(house.model.prompts) == 1
    assert house.told == [miss, hit]


async def test_only_named_models_are_remembered() -> None:
    assert [House().replies.keeps(name) for name in ("big", "small")] == [True, False]


@pytest.mark.parametrize(
    ("first", "second", "statuses"),
    [
        ("use", "use", ["miss", "hit"]),
        ("read", "use", ["miss", "miss"]),
        ("write", "write", ["miss", "miss"]),
        ("write", "read", ["miss", "hit"]),
        ("off", "use", ["off", "miss"]),
        ("use", "off", ["miss", "off"]),
        ("use", "refresh", ["miss", "miss"]),
    ],
)
async def test_a_caller_says_what_it_wants(first: CacheMode, second: CacheMode, statuses: list[str]) -> None:
    house = House()
    told = [(await house.ask(wish=Wish(mode=mode, is_asked=True)))[0].status for mode in (first, second)]
    assert told == statuses
    assert len(house.model.prompts) == 2 - statuses.count("hit")


async def test_a_refresh_that_fails_leaves_nothing() -> None:
    house = House()
    await house.ask()
    house.model.failure = Unavailable("gone")
    with pytest.raises(Unavailable):
        await house.ask(wish=Wish(mode="refresh"))
    house.model.failure = None
    assert (await house.ask())[0].status == "miss"


async def test_age_ends_a_reply_and_a_caller_may_want_a_younger_one() -> None:
    house = House()
    await house.ask()
    house.time.now_s += 30
    assert (await house.ask(wish=Wish(max_age_s=20)))[0].status == "miss"
    house.time.now_s += 59
    assert (await house.ask())[0].age_s == 59
    house.time.now_s += 1
    assert (await house.ask())[0].status == "miss"


async def test_other_settings_or_models_start_clean() -> None:
    house = House()
    await house.ask()
    house.build = "c"
    assert (await house.ask())[0].status == "miss"


async def test_variety_is_not_looked_up_unless_it_is_asked_for() -> None:
    house = House()
    varied = replace(PROMPT, temperature=0.7)
    recall, events = await house.ask(varied)
    assert (recall.status, recall.rejected_by, text_of(events)) == ("bypass", "temperature", house.model.text)
    assert [(await house.ask(varied, Wish(is_asked=True)))[0].status for _ in range(2)] == ["miss", "hit"]


async def test_a_hundred_equal_requests_at_once_are_one_call() -> None:
    house = House()
    told = await asyncio.gather(*(house.ask() for _ in range(100)))
    assert len(house.model.prompts) == 1
    assert {text_of(events) for _, events in told} == {house.model.text}


class Telling(ScriptedModel):
    """Says who asked what, so that a reply in the wrong hands can be seen."""

    def __init__(self) -> None:
        super().__init__("", step=1_000)

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        self.text = told_of(prompt)
        async for event in super().stream(prompt, deadline):
            yield event


def told_of(prompt: Prompt) -> str:
    return repr((prompt.tenant, prompt.key_id, prompt.messages, prompt.max_tokens, prompt.options))


async def test_random_requests_are_all_given_what_was_said_to_just_them() -> None:
    house = House(Telling(), max_bytes=100_000)  # room for a part of what is asked
    draw = random.Random(0)
    seen = set()
    for _ in range(3_000):
        prompt = replace(
            PROMPT,
            tenant=draw.choice(["acme", "other"]),
            key_id=draw.choice(["k1", "k2"]),
            messages=(Turn(role="user", content=draw.choice(["Why?", "why?", "Why? ", "Who?"])),),
            max_tokens=draw.choice([None, 1, 11]),
            options=Options(stop=draw.choice([(), ("1",), ("", "1")]), seed=draw.choice([None, 0])),
        )
        recall, events = await house.ask(prompt)
        assert text_of(events) == told_of(prompt)
        assert recall.status == "miss" or told_of(prompt) in seen
        seen.add(told_of(prompt))
    assert 300 < house.replies.report().hits < 2_700
    assert house.replies.report().bytes <= 100_000


async def test_what_failed_is_not_kept() -> None:
    house = House(ScriptedModel("It is", failure=Unavailable("gone")))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await house.ask()
    assert house.replies.report().entries == 0
    assert len(house.model.prompts) == 2


async def test_who_leaves_early_leaves_nothing_behind() -> None:
    house = House()
    answer = house.replies.answer("big", house.model, PROMPT, Wish(), Deadline.after(10))
    assert [await anext(answer), await anext(answer)][0] == SourcesFound(sources=(), cache=Recall(status="miss"))
    await answer.aclose()
    assert house.replies.report().entries == 0


async def test_the_report_and_forgetting_are_by_tenant() -> None:
    house = House()
    other = replace(PROMPT, tenant="other")
    for prompt in (PROMPT, PROMPT, other, replace(PROMPT, temperature=None)):
        await house.ask(prompt)
    report = house.replies.report()
    assert (report.entries, report.lookups, report.hits, report.bypassed, report.saved_usd) == (2, 3, 1, 1, 0.5)
    assert 0 < report.bytes <= report.max_bytes
    assert [house.replies.clear(tenant) for tenant in ("acme", "acme", "other")] == [1, 0, 1]
    assert (house.replies.report().entries, house.replies.report().bytes) == (0, 0)


async def test_the_least_recently_used_goes_first() -> None:
    house = House()
    await house.ask()
    n_bytes = house.replies.report().bytes
    house = House(max_bytes=2 * n_bytes + n_bytes // 2)
    one, two, three = (replace(PROMPT, max_tokens=n) for n in (1, 2, 3))
    for prompt in (one, two, one, three):
        await house.ask(prompt)
    assert [(await house.ask(prompt, Wish(mode="read")))[0].status for prompt in (one, two, three)] == [
        "hit",
        "miss",
        "hit",
    ]


async def test_what_is_larger_than_all_room_is_not_kept() -> None:
    house = House(max_bytes=100)
    await house.ask()
    assert house.replies.report().entries == 0


def test_a_memory_of_nothing_has_nothing() -> None:
    assert ReplyMemory(100).get(b"") is None
