"""What every ChatModel promises, asked of each: the fake, the one without a network, the one behind HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from msgspec import Struct

from llm.anthropic import AnthropicWire
from llm.bedrock import BedrockWire
from llm.config import AnthropicConfig, BedrockConfig, ExtractiveConfig, GeminiConfig, OpenAIConfig, VertexConfig
from llm.extractive import ExtractiveModel, embedding_scorer
from llm.gemini import GeminiWire
from llm.openai import OpenAIWire
from llm.remote import RemoteModel, Wire
from llm.vertex import VertexWire
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, DeadlineExceeded, QuotaExceeded, Unavailable
from rag.base.ports import ChatModel
from rag.base.secret import Secret
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Usage
from rag.bench.upstream.bedrock import message as aws_event
from tests.fakes import HashingEmbedder, ScriptedModel
from tests.llm.routing.targets import Stage
from tests.prompts import a_prompt
from tests.remote_models import mocked

PROMISED = (BadDependency, Unavailable, DeadlineExceeded, QuotaExceeded)
TEXT = "The oil embargo began in October 1973. Prices rose to 12 dollars."


class Speech(Struct, frozen=True):
    """What a server that speaks one wire hears and says."""

    wire: Wire
    question: Callable[[dict[str, Any]], str]
    word: Callable[[str], bytes]
    end: bytes


def sse(event: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


SPEECHES = {
    "openai": Speech(
        wire=OpenAIWire(OpenAIConfig(base_url="http://upstream/v1", model="m")),
        question=lambda body: body["messages"][-1]["content"],
        word=lambda word: sse({"choices": [{"delta": {"content": word}}]}),
        end=sse({"choices": [{"delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
    ),
    "anthropic": Speech(
        wire=AnthropicWire(AnthropicConfig(model="m")),
        question=lambda body: body["messages"][-1]["content"],
        word=lambda word: sse({"type": "content_block_delta", "delta": {"type": "text_delta", "text": word}}),
        end=sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}) + sse({"type": "message_stop"}),
    ),
    "gemini": Speech(
        wire=GeminiWire(GeminiConfig(model="m")),
        question=lambda body: body["contents"][-1]["parts"][0]["text"],
        word=lambda word: sse({"candidates": [{"content": {"parts": [{"text": word}]}}]}),
        end=sse({"candidates": [{"finishReason": "STOP"}]}),
    ),
    "vertex": Speech(
        wire=VertexWire(VertexConfig(model="m", project="p", location="global", api_key=Secret("k"))),
        question=lambda body: body["contents"][-1]["parts"][0]["text"],
        word=lambda word: sse({"candidates": [{"content": {"parts": [{"text": word}]}}]}),
        end=sse({"candidates": [{"finishReason": "STOP"}]}),
    ),
    "bedrock": Speech(
        wire=BedrockWire(BedrockConfig(model="m", region="eu-west-1", api_key=Secret("k"))),
        question=lambda body: body["messages"][-1]["content"][0]["text"],
        word=lambda word: aws_event("contentBlockDelta", {"delta": {"text": word}, "contentBlockIndex": 0}),
        end=aws_event("messageStop", {"stopReason": "end_turn"})
        + aws_event("metadata", {"usage": {"inputTokens": 7, "outputTokens": 5, "totalTokens": 12}}),
    ),
}


class ChatServer:
    """Streams an answer that repeats the question, one word at a time; counts the streams that are open."""

    def __init__(self, speech: Speech, *, hangs: bool = False) -> None:
        self.speech = speech
        self.hangs = hangs
        self.n_open = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        question = self.speech.question(json.loads(request.content))
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Stream(self, question))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, server: ChatServer, text: str) -> None:
        self._server = server
        self._words = text.split()
        self._is_open = True
        server.n_open += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for word in self._words:
            await asyncio.sleep(0)
            yield self._server.speech.word(f"{word} ")
        if self._server.hangs:
            await asyncio.Event().wait()
        yield self._server.speech.end

    async def aclose(self) -> None:
        self._server.n_open -= self._is_open
        self._is_open = False


def behind(server: ChatServer) -> ChatModel:
    return RemoteModel(server.speech.wire, mocked(server))


MODELS: dict[str, Callable[[], ChatModel]] = {
    "scripted": lambda: ScriptedModel(TEXT),
    "route": lambda: Stage(ScriptedModel(TEXT), name=ScriptedModel.name).router,
    "extractive": lambda: ExtractiveModel(ExtractiveConfig(), embedding_scorer(HashingEmbedder())),
} | {name: (lambda speech=speech: behind(ChatServer(speech))) for name, speech in SPEECHES.items()}


@pytest.fixture(params=MODELS)
def model(request) -> ChatModel:
    return MODELS[request.param]()


@pytest.fixture(params=SPEECHES)
def speech(request) -> Speech:
    return SPEECHES[request.param]


def a_question(subject: str = "oil embargo") -> Prompt:
    return a_prompt(
        f"When did the {subject} begin?", f"The {subject} began in October 1973. Prices rose to 12 dollars."
    )


async def events_of(model: ChatModel, prompt: Prompt, within_s: float = 30.0) -> list[ModelEvent]:
    return [event async for event in model.stream(prompt, Deadline.after(within_s))]


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_text_comes_first_then_at_most_one_usage_and_finished_last(model):
    events = await events_of(model, a_question())
    kinds = [type(event) for event in events]
    assert kinds[-1] is Finished
    assert kinds.count(Finished) == 1
    assert kinds.count(Usage) <= 1
    assert kinds == sorted(kinds, key=[TextDelta, Usage, Finished].index)
    assert "October 1973" in text_of(events)
    assert all(event.text for event in events if isinstance(event, TextDelta))


async def test_finished_names_the_model_and_a_confidence_is_a_probability(model):
    finished = (await events_of(model, a_question()))[-1]
    assert isinstance(finished, Finished)
    assert finished.model == model.name
    assert finished.confidence is None or 0 <= finished.confidence <= 1


async def test_a_prompt_without_sources_still_ends_with_finished(model):
    assert isinstance((await events_of(model, a_prompt("Anything?")))[-1], Finished)


async def test_the_same_prompt_gives_the_same_events(model):
    assert await events_of(model, a_question()) == await events_of(model, a_question())


async def test_streams_at_the_same_time_do_not_mix(model):
    prompts = [a_question(f"event number {number}") for number in range(20)]
    together = await asyncio.gather(*(events_of(model, prompt) for prompt in prompts))
    assert together == [await events_of(model, prompt) for prompt in prompts]


async def test_a_stream_that_is_left_early_can_be_closed_and_the_model_used_again(model):
    async with aclosing(model.stream(a_question(), Deadline.after(30))) as events:
        assert isinstance(await anext(events), TextDelta)
    assert isinstance((await events_of(model, a_question()))[-1], Finished)


async def test_past_the_deadline_it_ends_at_once_with_an_answer_or_a_promised_error(model):
    async with asyncio.timeout(5):
        try:
            events = await events_of(model, a_question(), within_s=0.0)
        except PROMISED:
            return
    assert isinstance(events[-1], Finished)


async def test_a_task_that_is_cancelled_closes_the_upstream_response(speech):
    server = ChatServer(speech, hangs=True)
    first_text = asyncio.Event()

    async def read() -> None:
        async for _ in behind(server).stream(a_question(), Deadline.after(30)):
            first_text.set()

    task = asyncio.create_task(read())
    await first_text.wait()
    assert server.n_open == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.n_open == 0


async def test_a_deadline_in_mid_stream_closes_the_upstream_response(speech):
    server = ChatServer(speech, hangs=True)
    with pytest.raises(DeadlineExceeded):
        await events_of(behind(server), a_question(), within_s=0.05)
    assert server.n_open == 0


async def test_a_whole_answer_leaves_no_response_open(speech):
    server = ChatServer(speech)
    await events_of(behind(server), a_question())
    assert server.n_open == 0


async def test_a_failure_after_some_text_is_raised_and_never_a_clean_end():
    seen: list[ModelEvent] = []
    failing = ScriptedModel(TEXT, failure=BadDependency("broke off"))
    with pytest.raises(BadDependency):
        seen.extend([event async for event in failing.stream(a_question(), Deadline.after(30))])
    assert not any(isinstance(event, Finished) for event in seen)
