"""Bodies that are nearly right, at every route that takes one: what is wrong with them is their sender's fault."""

import copy
import json
import random
from collections import Counter

import pytest

from tests.fakes import HashingEmbedder
from tests.serve.stage import OPERATES, WRITES, client_of
from tests.serve.test_documents import with_library

N_TRIED = 150
"""For each route; 26,000 in 45 s found one fault (2026-11-23)."""

IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}]
BODIES = {
    ("POST", "/ask"): [
        {
            "question": "x",
            "filters": {"year": {"gte": 1}},
            "history": TALK[:1],
            "cache": {"mode": "use", "max_age_s": 1},
        },
        {"question": "x", "stream": True, "top_k": 3, "model": "big", "max_tokens": 5, "temperature": 0.1},
    ],
    ("POST", "/search"): [{"query": "x", "filters": {"team": ["a"]}, "top_k": 3, "rerank": True}],
    ("POST", "/v1/chat/completions"): [
        {
            "model": "big",
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "r"},
            ],
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            "stream_options": {"include_usage": True},
        },
        {"model": "rag/default", "messages": TALK, "stream": True, "stop": ["x"], "seed": 1, "max_tokens": 5, "n": 1},
    ],
    ("POST", "/v1/responses"): [
        {
            "model": "big",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "r"},
            ],
            "tools": [{"type": "function", **FUNCTION}],
            "text": {"format": {"type": "text"}},
        },
        {"model": "rag/default", "input": "q", "stream": True, "instructions": "i", "max_output_tokens": 5},
    ],
    ("POST", "/v1/messages"): [
        {
            "model": "big",
            "max_tokens": 5,
            "system": [{"type": "text", "text": "s"}],
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x/y"}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]},
            ],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        },
        {"model": "rag/default", "max_tokens": 5, "messages": TALK, "stream": True, "stop_sequences": ["a"]},
        {
            "model": "rag/default",
            "max_tokens": 5,
            "messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}],
        },
    ],
    ("POST", "/v1/messages/count_tokens"): [
        {"model": "big", "messages": TALK, "system": "s", "tools": [{"name": "f", "input_schema": {"type": "object"}}]}
    ],
    ("POST", "/v1/embeddings"): [{"model": HashingEmbedder().name, "input": ["a", "b"], "encoding_format": "float"}],
    ("POST", "/v1/rerank"): [{"model": "reversing", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}],
    ("POST", "/rerank"): [{"query": "q", "texts": ["a", "b"], "raw_scores": False, "return_text": True}],
    ("PUT", "/documents"): [
        {"uri": "u", "text": "t a", "acl": ["everyone"], "metadata": {"a": 1, "b": ["x"]}, "pages": [[0, 1]]},
        {"uri": "u", "text": "t b", "title": "T", "format": "text", "updated_at": "2026-01-01T00:00:00Z"},
    ],
    ("POST", "/documents/delete"): [{"filters": {"document_id": ["x"]}, "everything": False}],
    ("PUT", "/admin/config"): [
        {
            "models": {"a": {"kind": "openai", "base_url": "http://x/v1", "model": "m"}},
            "routes": {"r": {"targets": [{"model": "a", "weight": 1}]}},
            "accounts": {"acme": {"budget_usd": 1.0}},
        }
    ],
}
ODD = [
    *(None, True, 0, -1, 2**63, 10**30, 0.5, 1e308, "", " ", "\0", "a" * 5_000, "é字\u2028", "../..", "rag/"),
    *("rag/default", "big", "data:image/png;base64,AA", [], {}, [[]], [None], [{}], {"a": None}, {"type": "text"}),
    *({"type": "text", "text": None}, {"type": "tool_use"}, "user", "tool", "none", "required", "json_object"),
]


def places(value, path=()):
    """Every place below the value, as the steps to it."""
    for step in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, step)
        yield from places(value[step], (*path, step))


def spoiled(body, chance):
    """The body with something at one to three places that does not belong there."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice((1, 1, 2, 3))):
        *steps, last = chance.choice([*places(body)] or [("x",)])
        holder = body
        for step in steps:
            holder = holder[step]
        if isinstance(holder, dict) and chance.random() < 0.3:
            holder.pop(last, None)
            holder[chance.choice(("type", "a.b", "a/b~", "[0]", "`"))] = chance.choice(ODD)
        else:
            holder[last] = chance.choice(ODD)
    return body


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_no_body_is_our_fault(method, path):
    chance = random.Random(path)
    headers = OPERATES if path.startswith("/admin") else WRITES
    statuses = Counter()
    async with client_of(with_library(), headers) as client:
        for _ in range(N_TRIED):
            body = spoiled(chance.choice(BODIES[method, path]), chance)
            reply = await client.request(method, path, json=body)
            assert reply.status_code < 500, (body, reply.text)
            assert "internal-error" not in reply.text, (body, reply.text)
            assert "The log has the cause" not in reply.text, (body, reply.text)
            statuses[reply.status_code] += 1
    assert {200} < set(statuses), "some are right and some are wrong, or this tries nothing"


async def test_a_conversation_of_nothing_is_refused():
    body = {"model": "rag/default", "max_tokens": 5, "messages": [{"role": "user", "content": []}]}
    async with client_of(with_library(), WRITES) as client:
        reply = await client.post("/v1/messages", content=json.dumps(body))
    assert reply.status_code == 400
