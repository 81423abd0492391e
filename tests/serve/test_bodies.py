import contextlib
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from rag.base.errors import GroundwireError, InvalidInput
from rag.serve.bodies import MalformedJson, decode, locate, pointer_to
from rag.serve.wire import AskBody, SearchBody
from tests.serve.stage import client_of, services

ASK = {"content-type": "application/json"}


def ask_with(**changes):
    return msgspec.json.encode({"question": "How long?"} | changes)


DEEP = b"[" * 10_000 + b"]" * 10_000
DEEP_OBJECT = b'{"a":' * 10_000 + b"1" + b"}" * 10_000

BAD = {
    "nothing": (b"", 422, "invalid-input", ""),
    "not an object": (b"[1]", 422, "invalid-input", ""),
    "null": (b"null", 422, "invalid-input", ""),
    "no question": (b"{}", 422, "invalid-input", "/question"),
    "an empty question": (ask_with(question=""), 422, "invalid-input", "/question"),
    "a blank question": (ask_with(question=" \n"), 422, "invalid-input", "/question"),
    "a question of 1 MB": (ask_with(question="x" * 1_000_000), 422, "invalid-input", "/question"),
    "a body over the limit": (ask_with(question="x" * 1_048_577), 413, "too-large", ""),
    "an unknown field": (ask_with(topk=3), 422, "invalid-input", "/topk"),
    "an odd unknown field": (ask_with(**{"a/b~c": 3}), 422, "invalid-input", "/a~1b~0c"),
    "a wrong type": (ask_with(top_k="5"), 422, "invalid-input", "/top_k"),
    "a fraction": (ask_with(top_k=1.5), 422, "invalid-input", "/top_k"),
    "too small": (ask_with(top_k=0), 422, "invalid-input", "/top_k"),
    "too large": (ask_with(top_k=51), 422, "invalid-input", "/top_k"),
    "too hot": (ask_with(temperature=2.1), 422, "invalid-input", "/temperature"),
    "a wrong type far inside": (
        ask_with(history=[{"role": "user", "content": "a"}, {"role": "user", "content": 1}]),
        422,
        "invalid-input",
        "/history/1/content",
    ),
    "an unknown role": (
        ask_with(history=[{"role": "system", "content": "a"}]),
        422,
        "invalid-input",
        "/history/0/role",
    ),
    "a history without end": (
        ask_with(history=[{"role": "user", "content": "a"}] * 51),
        422,
        "invalid-input",
        "/history",
    ),
    "an unknown filter field": (ask_with(filters={"colour": "red"}), 422, "invalid-input", "/filters/colour"),
    "an unknown operator": (ask_with(filters={"year": {"near": 1}}), 422, "invalid-input", "/filters/year/near"),
    "a filter of the wrong type": (ask_with(filters={"year": "new"}), 422, "invalid-input", "/filters/year"),
    "a filter of null": (ask_with(filters={"year": None}), 422, "invalid-input", "/filters/year"),
    "a filter out of range": (ask_with(filters={"year": 2**80}), 422, "invalid-input", "/filters"),
    "filters as a list": (ask_with(filters=[]), 422, "invalid-input", "/filters"),
    "too many filters": (ask_with(filters={f"f{n}": 1 for n in range(33)}), 422, "invalid-input", "/filters"),
    "an unknown model": (ask_with(model="gone"), 422, "invalid-input", "/model"),
    "bad UTF-8": (b'{"question": "\xff\xfe"}', 400, "malformed-json", ""),
    "truncated": (b'{"question": "How', 400, "malformed-json", ""),
    "trailing characters": (b'{"question": "x"} {', 400, "malformed-json", ""),
    "not JSON": (b"question=How", 400, "malformed-json", ""),
    "NaN": (b'{"question": "x", "temperature": NaN}', 400, "malformed-json", ""),
    "half a surrogate pair": (b'{"question": "\\ud800"}', 400, "malformed-json", ""),
    "10,000 lists deep": (DEEP, 422, "invalid-input", ""),
    "10,000 objects deep": (DEEP_OBJECT, 422, "invalid-input", "/a"),
    "filters 10,000 lists deep": (b'{"question": "x", "filters": %b}' % DEEP, 422, "invalid-input", "/filters"),
    "a filter 10,000 lists deep": (
        b'{"question": "x", "filters": {"year": %b}}' % DEEP,
        422,
        "invalid-input",
        "/filters",
    ),
    "a filter 10,000 objects deep": (
        b'{"question": "x", "filters": %b}' % DEEP_OBJECT,
        422,
        "invalid-input",
        "/filters",
    ),
    "a question 10,000 deep": (b'{"question": %b}' % DEEP, 422, "invalid-input", "/question"),
    "an unknown field 10,000 deep": (b'{"x": %b, "question": "x"}' % DEEP, 422, "invalid-input", "/x"),
    "10,000 brackets that never close": (b"[" * 10_000, 422, "invalid-input", ""),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_a_problem_that_points_at_the_fault(name):
    body, status, slug, pointer = BAD[name]
    async with client_of(services()) as client:
        response = await client.post("/ask", content=body, headers=ASK)
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["type"]) == (status, f"/problems/{slug}")
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert problem["detail"]


async def test_a_blank_question_is_said_to_be_blank():
    async with client_of(services()) as client:
        response = await client.post("/ask", content=ask_with(question=" \n"), headers=ASK)
    assert response.json()["detail"] == "Expected a `str` that is not blank"


async def test_an_utf8_fault_is_named_by_its_byte():
    async with client_of(services()) as client:
        response = await client.post("/ask", content=b'{"question": "\xff"}', headers=ASK)
    assert "byte 14" in response.json()["detail"]


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
        (None, 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/msgpack", 415),
        ("nonsense", 415),
    ],
)
async def test_only_json_is_read(media_type, status):
    headers = {"content-type": media_type} if media_type else {}
    async with client_of(services()) as client:
        response = await client.post("/ask", content=ask_with(), headers=headers)
    assert response.status_code == status
    if status == 415:
        assert response.json()["type"] == "/problems/unsupported-media-type"


@pytest.mark.parametrize(
    ("message", "text", "pointer"),
    [
        ("Expected `int`, got `str` - at `$.a[0].b`", "Expected `int`, got `str`", "/a/0/b"),
        ("Expected `str` - at `$`", "Expected `str`", ""),
        ("Expected `str`", "Expected `str`", ""),
        ("Expected `int` - at `$.m[...]`", "Expected `int`", "/m"),
        ("Expected `int` - at `$.m[...][3]`", "Expected `int`", "/m"),
        ("Expected `int` - at `key` in `$.m`", "Expected `int`", "/m"),
        ("Object missing required field `x` - at `$[2]`", "Object missing required field `x`", "/2/x"),
        ("Object contains unknown field `a/b`", "Object contains unknown field `a/b`", "/a~1b"),
    ],
)
def test_a_msgspec_path_becomes_a_json_pointer(message, text, pointer):
    assert locate(message) == (text, pointer)


def test_a_pointer_escapes_what_it_must():
    assert pointer_to("a/b", "~", "0") == "/a~1b/~0/0"


def test_untyped_nesting_that_is_too_deep_is_the_callers_fault():
    with pytest.raises(InvalidInput, match="deep"):
        decode(DEEP_OBJECT, Any)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(body):
    with contextlib.suppress(GroundwireError):
        assert isinstance(decode(body, SearchBody), SearchBody)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
MEMBERS = st.sampled_from(["question", "filters", "history", "top_k", "model", "temperature", "else"])


def at(document, pointer):
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def leads_somewhere(document, pointer):
    try:
        at(document, pointer)
    except (LookupError, ValueError, TypeError):
        return False
    return True


def test_a_pointer_that_leads_nowhere_is_noticed():
    assert leads_somewhere({"a": [1]}, "/a/0")
    assert not leads_somewhere({"a": [1]}, "/a/1")
    assert not leads_somewhere({"a": 1}, "/a/b")


@given(st.dictionaries(MEMBERS, JSON))
def test_every_pointer_leads_into_the_body_or_to_what_is_missing(body):
    try:
        decode(msgspec.json.encode(body), AskBody)
    except MalformedJson:
        return
    except InvalidInput as error:
        place = error.pointer.rpartition("/")[0] if "missing" in str(error) else error.pointer
        assert leads_somewhere(body, place)


class Strange(Struct):
    count: Annotated[int, Meta(ge=0)]


def test_a_body_arrives_as_its_type():
    assert decode(b'{"count": 3}', Strange) == Strange(3)
