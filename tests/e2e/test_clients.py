"""OpenAI's and Anthropic's own Python clients, unmodified, against a real server in front of simulated providers."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic
import httpx
import msgspec
import openai
import pytest
from msgspec import Struct
from pydantic import BaseModel

from rag.bench.upstream.script import Book, Prompter, Script, ToolCall
from rag.bench.upstream.server import Upstream
from rag.govern.keys import new_key
from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(180)]

TEXT = "It is sunny in Rome today."
CALLS = (ToolCall(name="weather", arguments='{"city": "Rome"}'), ToolCall(name="time"))
SCRIPTS = {
    "text": Script(text=TEXT, input_tokens=100, cached_tokens=64),
    "tools": Script(text="Let me look.", tool_calls=CALLS),
    "form": Script(text='{"city": "Rome", "sunny": true}'),
    "limited": Script(fault="rate_limit", retry_after="7"),
    "long": Script(fault="context_length"),
    "policy": Script(fault="content_policy"),
    "down": Script(fault="server_error"),
    "shaky": Script(text=TEXT, ending="reset", after_tokens=3),
}
WIRES = {
    "openai": {"kind": "openai", "base_url": "{root}/v1"},
    "anthropic": {"kind": "anthropic", "base_url": "{root}/v1"},
    "gemini": {"kind": "gemini", "base_url": "{root}/v1beta"},
    "bedrock": {"kind": "bedrock", "base_url": "{root}", "region": "eu-west-1"},
}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "time"}},
]
RESPONSES_TOOLS = [
    {"type": "function", "name": "weather", "description": "The weather", "parameters": SCHEMA},
    {"type": "function", "name": "time"},
]
ANTHROPIC_TOOLS = [
    {"name": "weather", "description": "The weather", "input_schema": SCHEMA},
    {"name": "time", "input_schema": {"type": "object"}},
]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ASKED = [{"role": "user", "content": "How is the weather in Rome?"}]
QUESTION = [{"role": "user", "content": "When was the tower built?"}]


class Place(BaseModel):
    city: str
    sunny: bool


class Gateway(Struct, frozen=True):
    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    url: str


@contextmanager
def providers() -> Iterator[str]:
    """The simulated providers on a port of their own, in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    upstream = Upstream(Prompter(Book(models=SCRIPTS)))
    server = asyncio.run_coroutine_threadsafe(upstream.listen("127.0.0.1", 0), loop).result(10)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    workspace = Workspace(tmp_path_factory.mktemp("gateway"))
    token, key = new_key("ann", scopes=("read", "write"))
    keys = workspace.write("keys.json", msgspec.json.encode([key]).decode())
    with providers() as root:
        models = {
            f"{wire}-{script}": {
                **{name: value.format(root=root) for name, value in config.items()},
                "model": script,
                "api_key": "sk-test",
            }
            for wire, config in WIRES.items()
            for script in SCRIPTS
        }
        environ = {
            "RAG__MODELS": json.dumps(models),
            "RAG__AUTH__KEYS_FILE": str(keys),
            "RAG__RERANKER__KIND": "onnx",
            "RAG__CACHE__REPLIES__MODELS": json.dumps([name for name in models if name.endswith(("-text", "-tools"))]),
        }
        with (
            workspace.server(**environ) as client,
            openai.OpenAI(base_url=f"{client.base_url}/v1/", api_key=token, max_retries=0) as of_openai,
            anthropic.Anthropic(base_url=str(client.base_url), api_key=token, max_retries=0) as of_anthropic,
        ):
            tower = {"uri": "https://example.org/tower.md", "text": "The tower was built in 1889."}
            client.put("/documents", json=tower, headers={"x-api-key": token}).raise_for_status()
            yield Gateway(of_openai, of_anthropic, str(client.base_url))


@pytest.fixture(params=WIRES)
def wire(request) -> str:
    return request.param


def test_openai_chats(gateway, wire):
    reply = gateway.openai.chat.completions.create(model=f"{wire}-text", messages=ASKED, user="someone")
    assert reply.choices[0].message.content == TEXT
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens == 100
    assert reply.usage.prompt_tokens_details.cached_tokens == 64


def test_openai_is_given_the_same_again_from_memory(gateway, wire):
    asked = {"model": f"{wire}-text", "messages": ASKED, "temperature": 0}
    replies = [gateway.openai.chat.completions.with_raw_response.create(**asked) for _ in range(2)]
    assert [reply.headers["x-cache"] for reply in replies] == ["miss", "hit"]
    made, kept = (reply.parse() for reply in replies)
    assert (kept.choices, kept.usage) == (made.choices, made.usage)
    with gateway.openai.chat.completions.create(**asked, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[-1].groundwire["cache"]["status"] == "hit"


def test_openai_is_given_no_call_of_a_tool_from_memory(gateway, wire):
    asked = {"model": f"{wire}-tools", "messages": ASKED, "tools": OPENAI_TOOLS, "extra_body": {"cache": "use"}}
    replies = [gateway.openai.chat.completions.with_raw_response.create(**asked) for _ in range(2)]
    assert [reply.headers["x-cache"] for reply in replies] == ["miss", "miss"]


def test_openai_streams(gateway, wire):
    with gateway.openai.chat.completions.create(
        model=f"{wire}-text", messages=ASKED, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].usage.prompt_tokens == 100
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_openai_calls_tools_and_hears_of_their_results(gateway, wire, stream):
    model = f"{wire}-tools"
    if stream:
        with gateway.openai.chat.completions.stream(model=model, messages=ASKED, tools=OPENAI_TOOLS) as events:
            for _ in events:
                pass
            choice = events.get_final_completion().choices[0]
    else:
        choice = gateway.openai.chat.completions.create(model=model, messages=ASKED, tools=OPENAI_TOOLS).choices[0]
    calls = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("weather", {"city": "Rome"}),
        ("time", {}),
    ]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    messages = [*ASKED, choice.message, *results]
    reply = gateway.openai.chat.completions.create(model=f"{wire}-text", messages=messages, tools=OPENAI_TOOLS)
    assert reply.choices[0].message.content == TEXT


def test_openai_parses_a_form(gateway, wire):
    reply = gateway.openai.chat.completions.parse(model=f"{wire}-form", messages=ASKED, response_format=Place)
    assert reply.choices[0].message.parsed == Place(city="Rome", sunny=True)


def test_openai_shows_an_image(gateway, wire):
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    reply = gateway.openai.chat.completions.create(model=f"{wire}-text", messages=messages)
    assert reply.choices[0].message.content == TEXT


@pytest.mark.parametrize("stream", [False, True])
def test_openai_responds_with_text_and_calls(gateway, wire, stream):
    request = {"model": f"{wire}-tools", "input": "How is the weather in Rome?", "tools": RESPONSES_TOOLS}
    if stream:
        with gateway.openai.responses.stream(**request) as events:
            for _ in events:
                pass
            reply = events.get_final_response()
    else:
        reply = gateway.openai.responses.create(**request)
    calls = [item for item in reply.output if item.type == "function_call"]
    assert reply.output_text == "Let me look."
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("weather", {"city": "Rome"}), ("time", {})]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    items = [{"role": "user", "content": request["input"]}, *reply.output, *results]
    answer = gateway.openai.responses.create(model=f"{wire}-text", input=items, tools=RESPONSES_TOOLS)
    assert (answer.output_text, answer.usage.input_tokens_details.cached_tokens) == (TEXT, 64)


def test_openai_parses_the_form_of_a_response(gateway):
    reply = gateway.openai.responses.parse(model="openai-form", input="Rome?", text_format=Place)
    assert reply.output_parsed == Place(city="Rome", sunny=True)
    with pytest.raises(openai.NotFoundError):
        gateway.openai.responses.create(model="nope", input="x")
    with (
        gateway.openai.responses.create(model="openai-shaky", input="x", stream=True) as stream,
        pytest.raises(openai.APIError),
    ):
        list(stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        ("limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("long", openai.BadRequestError, "context_length_exceeded"),
        ("down", openai.InternalServerError, "upstream_unavailable"),
        ("nope", openai.NotFoundError, "model_not_found"),
    ],
)
def test_openai_knows_every_failure_by_its_class(gateway, script, error, code, stream):
    with pytest.raises(error) as caught:
        gateway.openai.chat.completions.create(model=f"openai-{script}", messages=ASKED, stream=stream)
    assert caught.value.code == code
    assert script != "limited" or int(caught.value.response.headers["retry-after"]) >= 7


def test_openai_hears_of_a_policy(gateway, wire):
    try:
        reply = gateway.openai.chat.completions.create(model=f"{wire}-policy", messages=ASKED)
    except openai.BadRequestError as error:
        assert error.code == "content_filter"  # noqa: PT017 -- some providers refuse, others end with a reason
    else:
        assert reply.choices[0].finish_reason == "content_filter"


def test_openai_hears_of_a_stream_that_broke_off(gateway, wire):
    heard = []
    with (
        gateway.openai.chat.completions.create(model=f"{wire}-shaky", messages=ASKED, stream=True) as stream,
        pytest.raises(openai.APIError),
    ):
        heard.extend(stream)
    assert all(not chunk.choices[0].finish_reason for chunk in heard)


def test_openai_is_told_where_a_request_is_wrong(gateway):
    with pytest.raises(openai.BadRequestError) as caught:
        gateway.openai.chat.completions.create(model="openai-text", messages=ASKED, n=2)
    assert caught.value.param == "n"
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="gw_x_y", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.chat.completions.create(model="openai-text", messages=ASKED)


def test_openai_asks_the_documents(gateway):
    [choice] = gateway.openai.chat.completions.create(model="rag/default", messages=QUESTION).choices
    assert "1889" in choice.message.content
    [annotation] = choice.message.annotations
    assert annotation.url_citation.url.endswith("tower.md")
    marker = choice.message.content[annotation.url_citation.start_index : annotation.url_citation.end_index]
    assert marker == "[1]"


def test_openai_embeds_and_lists_models(gateway):
    names = [model.id for model in gateway.openai.models.list()]
    assert {"openai-text", "rag/default", "rag/openai-text", "rag/extractive"} <= set(names)
    assert gateway.openai.models.retrieve("rag/default").id == "rag/default"
    embedder = next(name for name in names if "minilm" in name.lower() and "rerank" not in name.lower())
    packed = gateway.openai.embeddings.create(model=embedder, input=["a tower", "a refund"])
    plain = gateway.openai.embeddings.create(model=embedder, input=["a tower"], encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert packed.usage.prompt_tokens > plain.usage.prompt_tokens == len(["[CLS]", "a", "tower", "[SEP]"])


def test_reranking_has_both_shapes(gateway):
    documents = ["Refunds take 14 days.", "The tower was built in 1889."]
    headers = {"authorization": f"Bearer {gateway.openai.api_key}"}
    name = next(model.id for model in gateway.openai.models.list() if "rerank" in model.id)
    with httpx.Client(base_url=gateway.url, headers=headers) as client:
        body = {"model": name, "query": "When was the tower built?", "documents": documents}
        cohere = client.post("/v1/rerank", json=body).json()
        tei = client.post("/rerank", json={"query": body["query"], "texts": documents}).json()
    assert [one["index"] for one in cohere["results"]] == [one["index"] for one in tei] == [1, 0]
    assert [one["relevance_score"] for one in cohere["results"]] == pytest.approx([one["score"] for one in tei])


def test_anthropic_chats(gateway, wire):
    reply = gateway.anthropic.messages.create(model=f"{wire}-text", max_tokens=50, messages=ASKED, system="Be brief.")
    assert [block.text for block in reply.content] == [TEXT]
    assert reply.stop_reason == "end_turn"
    assert (reply.usage.input_tokens, reply.usage.cache_read_input_tokens) == (36, 64)


def test_anthropic_counts_tokens(gateway, wire):
    counted = gateway.anthropic.messages.count_tokens(model=f"{wire}-text", messages=ASKED, system="Be brief.")
    with_tools = gateway.anthropic.messages.count_tokens(
        model=f"{wire}-text", messages=ASKED, system="Be brief.", tools=ANTHROPIC_TOOLS
    )
    assert 0 < counted.input_tokens < with_tools.input_tokens


def test_anthropic_streams(gateway, wire):
    with gateway.anthropic.messages.stream(model=f"{wire}-text", max_tokens=50, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == TEXT
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.cache_read_input_tokens) == ("end_turn", 64)


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_calls_tools_and_hears_of_their_results(gateway, wire, stream):
    request = {"model": f"{wire}-tools", "max_tokens": 50, "messages": ASKED, "tools": ANTHROPIC_TOOLS}
    if stream:
        with gateway.anthropic.messages.stream(**request) as events:
            reply = events.get_final_message()
    else:
        reply = gateway.anthropic.messages.create(**request)
    calls = [block for block in reply.content if block.type == "tool_use"]
    assert reply.stop_reason == "tool_use"
    assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Rome"}), ("time", {})]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls]
    messages = [*ASKED, {"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
    request |= {"model": f"{wire}-text", "messages": messages}
    assert gateway.anthropic.messages.create(**request).content[0].text == TEXT


def test_anthropic_asks_for_a_form(gateway, wire):
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    reply = gateway.anthropic.messages.create(model=f"{wire}-form", max_tokens=50, messages=ASKED, output_config=form)
    assert json.loads(reply.content[0].text)["city"] == "Rome"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("limited", anthropic.RateLimitError),
        ("long", anthropic.BadRequestError),
        ("down", anthropic.InternalServerError),
        ("nope", anthropic.NotFoundError),
    ],
)
def test_anthropic_knows_every_failure_by_its_class(gateway, script, error, stream):
    with pytest.raises(error) as caught:
        gateway.anthropic.messages.create(model=f"anthropic-{script}", max_tokens=50, messages=ASKED, stream=stream)
    assert caught.value.body["type"] == "error"


def test_anthropic_hears_of_a_stream_that_broke_off(gateway, wire):
    with (
        gateway.anthropic.messages.stream(model=f"{wire}-shaky", max_tokens=50, messages=ASKED) as stream,
        pytest.raises(anthropic.APIError),
    ):
        stream.get_final_message()


def test_anthropic_asks_the_documents(gateway):
    reply = gateway.anthropic.messages.create(model="rag/default", max_tokens=50, messages=QUESTION)
    [block] = reply.content
    assert "1889" in block.text
    assert block.citations[0].cited_text == "The tower was built in 1889."
    assert "rag/default" in [model.id for model in gateway.anthropic.models.list()]
