"""Replies from memory through the gateway: told in headers and beside the answer, whole or streamed."""

import json

import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig, RepliesConfig
from cache.replies import Replies
from rag.base.types import Finished, TextDelta
from rag.govern.allowance import Allowance
from tests.serve.gateway.playing import USAGE, playing
from tests.serve.stage import KEYS, OTHERS, READER, READS, WRITES, client_of

PATH = "/v1/chat/completions"
SAID = (TextDelta(text="It is "), TextDelta(text="blue."), USAGE, Finished(reason="stop", model="m"))
BODY = {"model": "big", "messages": [{"role": "user", "content": "Why?"}], "temperature": 0}


def remembering(*events, **changes):
    replies = Replies(MemoryConfig(replies=RepliesConfig(models=("big",))))
    return playing(*(events or SAID), replies=replies, **changes)


def told(response):
    return response.headers.get("x-cache"), response.headers.get("x-cache-tier")


def chunks_in(text):
    lines = [block.removeprefix("data: ") for block in text.split("\n\n") if block.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def test_the_same_request_is_answered_from_memory_in_either_shape():
    model, staged = remembering()
    async with client_of(staged) as client:
        first = await client.post(PATH, json=BODY)
        again = await client.post(PATH, json=BODY)
        streamed = await client.post(PATH, json=BODY | {"stream": True, "stream_options": {"include_usage": True}})
    assert [told(each) for each in (first, again, streamed)] == [("miss", None), ("hit", "exact"), ("hit", "exact")]
    assert len(model.prompts) == 1
    assert first.json()["groundwire"]["cache"]["status"] == "miss"
    kept = again.json()["groundwire"]["cache"]
    assert (kept["status"], kept["tier"], kept["saved_usd"]) == ("hit", "exact", None)
    assert again.json()["choices"] == first.json()["choices"]
    assert again.json()["usage"] == first.json()["usage"]
    assert again.json()["id"] != first.json()["id"]
    chunks = chunks_in(streamed.text)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == "It is blue."
    assert chunks[-2]["groundwire"]["cache"]["status"] == "hit"
    assert chunks[-1]["usage"] == first.json()["usage"]


async def test_a_stream_is_kept_for_those_who_want_it_whole():
    model, staged = remembering()
    async with client_of(staged) as client:
        streamed = await client.post(PATH, json=BODY | {"stream": True})
        whole = await client.post(PATH, json=BODY)
    assert (told(streamed), told(whole)) == (("miss", None), ("hit", "exact"))
    assert whole.json()["choices"][0]["message"]["content"] == "It is blue."
    assert len(model.prompts) == 1


@pytest.mark.parametrize("further", [{"user": "ann"}, {"metadata": {"a": "b"}}, {"seed": None}, {"n": 1}])
async def test_what_changes_nothing_of_the_answer_does_not_count(further):
    _, staged = remembering()
    async with client_of(staged) as client:
        await client.post(PATH, json=BODY)
        assert told(await client.post(PATH, json=BODY | further))[0] == "hit"


@pytest.mark.parametrize(
    "further",
    [{"messages": [{"role": "user", "content": "why?"}]}, {"top_p": 0.5}, {"response_format": {"type": "json_object"}}],
)
async def test_what_changes_the_answer_counts(further):
    _, staged = remembering()
    async with client_of(staged) as client:
        await client.post(PATH, json=BODY)
        assert told(await client.post(PATH, json=BODY | further))[0] == "miss"


@pytest.mark.parametrize(
    ("members", "statuses"),
    [
        ({"cache": "off"}, ["off", "off"]),
        ({"cache": {"mode": "refresh"}}, ["miss", "miss"]),
        ({"temperature": 1.0}, ["bypass", "bypass"]),
        ({"temperature": 1.0, "cache": "use"}, ["miss", "hit"]),
    ],
)
async def test_a_caller_says_what_it_wants(members, statuses):
    _, staged = remembering()
    async with client_of(staged) as client:
        assert [told(await client.post(PATH, json=BODY | members))[0] for _ in range(2)] == statuses


async def test_a_wish_that_nobody_knows_is_refused_with_its_place():
    _, staged = remembering()
    async with client_of(staged) as client:
        response = await client.post(PATH, json=BODY | {"cache": "always"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "cache")


async def test_no_other_tenant_and_no_other_key_is_given_it():
    model, staged = remembering()
    async with client_of(staged) as client:
        statuses = [told(await client.post(PATH, json=BODY, headers=headers))[0] for headers in (READS, WRITES, OTHERS)]
    assert statuses == ["miss"] * 3
    assert len(model.prompts) == 3


async def test_who_may_not_ask_the_model_is_not_given_what_it_said():
    _, staged = remembering()
    async with client_of(staged) as client:
        await client.post(PATH, json=BODY)
        barred = replace(READER, allowance=Allowance(models=("small",)))
        staged.book.exchange((barred, *KEYS[1:]), {})
        assert (await client.post(PATH, json=BODY)).status_code == 403


async def test_where_nothing_is_kept_nothing_is_said_of_it():
    _, staged = playing(*SAID)
    async with client_of(staged) as client:
        response = await client.post(PATH, json=BODY)
    assert told(response) == (None, None)
    assert "groundwire" not in response.json()


async def test_the_documents_say_where_their_answer_is_from():
    _, staged = remembering()
    async with client_of(staged) as client:
        response = await client.post(PATH, json=BODY | {"model": "rag/default", "cache": {"mode": "read"}})
    assert told(response) == ("off", None)
    [(query, _)] = staged.answerer.queries
    assert query.cache == "read"
