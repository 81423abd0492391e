"""The simulated provider as the providers' own clients read it: what they take for sound is sound."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import openai
import pytest

from rag.bench.upstream.script import Script, ToolCall
from tests.bench.upstream.test_server import serving

pytestmark = pytest.mark.sockets

CALL = ToolCall(name="weather", arguments='{"city": "Oslo", "days": 3}')
QUESTION = [{"role": "user", "content": "How is the weather in Oslo?"}]


@asynccontextmanager
async def openai_client(script: Script) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        serving(script) as (_, root),
        openai.AsyncOpenAI(api_key="k", base_url=f"{root}/v1", max_retries=0) as client,
    ):
        yield client


@asynccontextmanager
async def anthropic_client(script: Script) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with (
        serving(script) as (_, root),
        anthropic.AsyncAnthropic(api_key="k", base_url=root, max_retries=0) as client,
    ):
        yield client


async def test_openais_client_reads_a_whole_answer_with_a_call():
    async with openai_client(Script(text="Let me see.", tool_calls=(CALL,), input_tokens=9, cached_tokens=4)) as client:
        answer = await client.chat.completions.create(model="m", messages=QUESTION)
    message = answer.choices[0].message
    assert (message.content, answer.choices[0].finish_reason) == ("Let me see.", "tool_calls")
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Oslo", "days": 3}
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (9, 4)


async def test_openais_client_reads_a_stream_with_a_call():
    script = Script(text="Let me see.", tool_calls=(CALL,), piece_bytes=5)
    async with (
        openai_client(script) as client,
        client.chat.completions.stream(model="m", messages=QUESTION, stream_options={"include_usage": True}) as stream,
    ):
        final = await stream.get_final_completion()
    message = final.choices[0].message
    assert message.content == "Let me see."
    assert message.tool_calls[0].function.name == "weather"
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Oslo", "days": 3}
    assert final.usage.completion_tokens == 3 + 4


async def test_anthropics_client_reads_a_whole_answer_with_a_call():
    script = Script(text="Let me see.", n_reasoning_tokens=2, tool_calls=(CALL,), input_tokens=9, cached_tokens=4)
    async with anthropic_client(script) as client:
        message = await client.messages.create(model="m", messages=QUESTION, max_tokens=100)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[2].input == {"city": "Oslo", "days": 3}
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (5, 4)


async def test_anthropics_client_reads_a_stream_with_a_call():
    script = Script(text="Let me see.", n_reasoning_tokens=2, tool_calls=(CALL,), piece_bytes=5)
    async with (
        anthropic_client(script) as client,
        client.messages.stream(model="m", messages=QUESTION, max_tokens=100) as stream,
    ):
        message = await stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[1].text == "Let me see."
    assert message.content[2].input == {"city": "Oslo", "days": 3}


@pytest.mark.parametrize(
    ("fault", "theirs"),
    [
        ("rate_limit", "RateLimitError"),
        ("bad_key", "AuthenticationError"),
        ("forbidden", "PermissionDeniedError"),
        ("model_missing", "NotFoundError"),
        ("invalid_request", "BadRequestError"),
        ("server_error", "InternalServerError"),
    ],
)
async def test_their_errors_have_their_classes(fault, theirs):
    script = Script(fault=fault)
    async with openai_client(script) as client:
        with pytest.raises(getattr(openai, theirs)):
            await client.chat.completions.create(model="m", messages=QUESTION)
    async with anthropic_client(script) as client:
        with pytest.raises(getattr(anthropic, theirs)):
            await client.messages.create(model="m", messages=QUESTION, max_tokens=9)


async def test_an_error_inside_a_stream_is_one_to_them():
    script = Script(fault="overloaded", in_stream=True, after_tokens=2)
    async with openai_client(script) as client:
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(model="m", messages=QUESTION, stream=True):
                pass
    async with anthropic_client(script) as client:
        with pytest.raises(anthropic.APIError):
            async for _ in await client.messages.create(model="m", messages=QUESTION, max_tokens=9, stream=True):
                pass
