import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.failures import failure_of
from rag.bench.upstream.asked import Asked
from rag.bench.upstream.performance import WIRES, dated, perform
from rag.bench.upstream.script import Script, ToolCall
from rag.infer.retry_after import retry_after_s
from tests.bench.upstream.providers import WIRE_OF, asking

FAULTS = {
    "overloaded": "overload",
    "rate_limit": "rate_limit",
    "quota": "credentials",
    "bad_key": "credentials",
    "forbidden": "credentials",
    "model_missing": "model_missing",
    "context_length": "context_length",
    "invalid_request": "rejected",
    "timeout": "overload",
    "server_error": "overload",
}
scripts = st.builds(
    Script,
    n_tokens=st.integers(0, 6),
    n_reasoning_tokens=st.integers(0, 3),
    tool_calls=st.sampled_from([(), (ToolCall(name="f", arguments='{"city": "Oslo"}'),)]),
    first_token_s=st.sampled_from([0.0, 0.5]),
    tokens_per_s=st.sampled_from([0.0, 50.0]),
    after_tokens=st.none() | st.integers(0, 6),
)
askings = st.builds(
    Asked,
    wire=st.sampled_from(sorted(WIRES)),
    model=st.just("m"),
    key=st.just("k"),
    stream=st.booleans(),
    sse=st.just(True),
    n_bytes=st.integers(0, 100),
    max_tokens=st.none() | st.integers(1, 12),
)


def body(asked: Asked, script: Script) -> bytes:
    return b"".join(step.data for step in perform(asked, script).steps)


@given(askings, scripts, st.integers(1, 40))
def test_half_frames_are_the_same_bytes(asked, script, size):
    cut = Script(**{name: getattr(script, name) for name in Script.__struct_fields__} | {"piece_bytes": size})
    assert body(asked, cut) == body(asked, script)
    assert all(len(step.data) <= size for step in perform(asked, cut).steps)


@given(askings, scripts)
def test_what_is_sent_is_in_order_and_counts_up_to_the_bill(asked, script):
    performance = perform(asked, script)
    times = [step.at_s for step in performance.steps]
    assert times == sorted(times)
    n_sent = sum(step.n_tokens for step in performance.steps)
    expected = performance.counts.output
    if asked.stream and script.after_tokens is not None:
        expected = min(expected, script.after_tokens)
    assert n_sent == expected
    assert performance.counts.output <= (asked.max_tokens or 1000)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_refusal_is_what_the_router_reads_it_as(wire, fault):
    performance = perform(asking(wire), Script(fault=fault))
    reader = WIRE_OF[wire]
    data = b"".join(step.data for step in performance.steps)
    error = reader.error(httpx.Headers(list(performance.headers)), data)
    assert failure_of(performance.status, error).kind == FAULTS[fault]
    assert performance.counts.input > 0


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("date+30", 30.0), ("date-30", 0.0), ("99999999", 3600.0), ("nonsense", None)]
)
def test_a_retry_after_lies_as_told(header, seconds):
    performance = perform(asking("openai"), Script(fault="rate_limit", retry_after=header))
    headers = dict(dated(performance.headers, 1_000_000.0))
    assert retry_after_s(headers, b"", 1_000_000.0) == seconds


def test_a_script_says_its_own_status_and_headers():
    performance = perform(asking("openai"), Script(status=502, headers=(("retry-after-ms", "250"),)))
    assert performance.status == 502
    assert ("retry-after-ms", "250") in performance.headers


def test_what_the_request_allows_cuts_the_answer():
    asked = asking("anthropic", max_tokens=3)
    performance = perform(asked, Script(n_tokens=10))
    assert performance.counts.output == 3
    assert b'"stop_reason":"max_tokens"' in body(asked, Script(n_tokens=10))


@pytest.mark.parametrize("wire", WIRES)
def test_an_html_page_may_stand_where_an_answer_should(wire):
    performance = perform(asking(wire), Script(damage="html", status=200))
    assert dict(performance.headers)["content-type"] == "text/html"
    assert performance.status == 200


def test_an_answer_without_a_stream_has_its_length_told_even_when_it_is_cut():
    asked = asking("openai", stream=False)
    performance = perform(asked, Script(ending="cut"))
    assert performance.n_bytes == len(body(asked, Script()))
    assert len(body(asked, Script(ending="cut"))) < performance.n_bytes
