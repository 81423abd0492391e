"""The simulated provider as our own wires see it; what they count is what it charges for."""

import asyncio
from contextlib import aclosing

import httpx
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, DependencyError, LoadError, Unavailable
from rag.base.types import Finished, TextDelta, Usage
from rag.bench.upstream.performance import WIRES
from rag.bench.upstream.script import Book, Script
from rag.bench.upstream.transport import SimulatedProvider
from tests.bench.upstream.providers import KEY, model
from tests.simulated import now_s, simulate
from tests.upstream import PROMPT, events_of, text_of


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


async def test_every_wire_is_read_as_it_was_told(wire):
    provider = SimulatedProvider(Script(text="The embargo began.", input_tokens=100, cached_tokens=60))
    events = await events_of(model(wire, provider))
    assert text_of(events) == "The embargo began."
    assert isinstance(events[-2], Usage)
    assert (events[-2].input_tokens, events[-2].output_tokens) == (100, 3)
    assert isinstance(events[-1], Finished)
    line = provider.bill.lines[0]
    assert (line.wire, line.model, line.key, line.status, line.left) == (wire, "m", KEY, 200, False)
    assert (line.input_tokens, line.cached_tokens, line.output_tokens) == (100, 60, 3)


@pytest.mark.parametrize("size", [1, 7])
async def test_every_wire_survives_half_frames(wire, size):
    provider = SimulatedProvider(Script(n_tokens=5, n_reasoning_tokens=2, piece_bytes=size))
    events = await events_of(model(wire, provider))
    assert text_of(events) == "w00 w01 w02 w03 w04 "
    assert isinstance(events[-2], Usage)
    assert events[-2].output_tokens == 7 == provider.bill.lines[0].output_tokens


@pytest.mark.parametrize("ending", ["unfinished", "cut", "reset", "hang_up"])
async def test_a_bad_ending_is_never_taken_for_a_good_one(wire, ending):
    provider = SimulatedProvider(Script(ending=ending, after_tokens=2))
    with pytest.raises(DependencyError):
        await events_of(model(wire, provider))
    assert provider.bill.lines[0].output_tokens == (0 if ending == "hang_up" else 2)
    assert not provider.bill.lines[0].left
    assert provider.bill.n_open == 0


@pytest.mark.parametrize("after", [0, 3])
async def test_an_error_inside_a_stream_comes_after_so_many_tokens(wire, after):
    provider = SimulatedProvider(Script(fault="overloaded", in_stream=True, after_tokens=after))
    async with aclosing(model(wire, provider).stream(PROMPT, Deadline.after(30))) as events:
        assert [type(await anext(events)) for _ in range(after)] == [TextDelta] * after
        with pytest.raises(Unavailable):
            await anext(events)
    line = provider.bill.lines[0]
    assert (line.output_tokens, line.input_tokens > 0) == (after, after > 0)


@pytest.mark.parametrize("damage", ["truncated", "garbled", "empty"])
async def test_damage_is_noticed(wire, damage):
    with pytest.raises(BadDependency):
        await events_of(model(wire, SimulatedProvider(Script(damage=damage))))


async def test_a_refusal_costs_nothing(wire):
    provider = SimulatedProvider(Script(fault="rate_limit"))
    with pytest.raises(LoadError):
        await events_of(model(wire, provider))
    line = provider.bill.lines[0]
    assert (line.status, line.input_tokens, line.output_tokens) == (429, 0, 0)
    assert provider.bill.totals["m"].n_refused == 1


async def test_a_client_that_leaves_pays_for_what_it_was_sent():
    provider = SimulatedProvider(Script(n_tokens=3, ending="silence", input_tokens=50))
    async with aclosing(model("openai", provider).stream(PROMPT, Deadline.after(30))) as events:
        for _ in range(2):
            await anext(events)
        assert provider.bill.n_open == 1
    line = provider.bill.lines[0]
    assert (line.left, line.input_tokens, line.output_tokens) == (True, 50, 2)
    assert provider.bill.n_open == 0


def test_tokens_come_when_they_are_due():
    async def scenario() -> list[float]:
        provider = SimulatedProvider(Script(n_tokens=3, first_byte_s=0.1, first_token_s=0.5, tokens_per_s=10.0))
        events = model("anthropic", provider).stream(PROMPT, Deadline(at_s=float("inf")))
        return [round(now_s(), 6) async for event in events if isinstance(event, TextDelta)]

    assert simulate(scenario()) == [0.5, 0.6, 0.7]


def test_a_mute_provider_is_left_by_who_gives_up():
    async def scenario() -> bool:
        provider = SimulatedProvider(Script(ending="mute"))
        async with httpx.AsyncClient(transport=provider) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await client.post("http://up/v1/messages", json={"model": "m"})
        return provider.bill.lines[0].left

    assert simulate(scenario())


async def test_scripts_go_by_queue_then_key_then_model():
    book = Book(
        default=Script(text="default"),
        keys={"spent": Script(fault="quota")},
        models={"turns": (Script(text="first"), Script(text="then"))},
    )
    provider = SimulatedProvider(book, queue=[Script(text="queued")])

    async def ask(model: str, key: str = KEY) -> str:
        async with httpx.AsyncClient(transport=provider) as client:
            headers = {"authorization": f"Bearer {key}"}
            reply = await client.post("http://up/v1/chat/completions", json={"model": model}, headers=headers)
        answer = reply.json()
        return answer["choices"][0]["message"]["content"] if reply.is_success else answer["error"]["code"]

    said = [await ask(model) for model in ("turns", "turns", "turns", "turns", "other")]
    assert said == ["queued", "first", "then", "then", "default"]
    assert await ask("turns", "spent") == "insufficient_quota"
    provider.prompter.follow(Script(text="new"))
    assert await ask("turns", "spent") == "new"


async def test_what_is_of_no_provider_is_not_found():
    async with httpx.AsyncClient(transport=SimulatedProvider()) as client:
        assert (await client.post("http://up/v2/oracle", json={})).status_code == 404
        assert (await client.get("http://up/v1/messages")).status_code == 404
        assert (await client.post("http://up/v1/messages", content=b"{")).status_code == 404
