"""What holds for the reader of every wire: no stream, however cut or damaged, gives a wrong end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.anthropic import AnthropicWire
from llm.bedrock import BedrockWire
from llm.config import AnthropicConfig, BedrockConfig, GeminiConfig, OpenAIConfig
from llm.gemini import GeminiWire
from llm.openai import OpenAIWire
from llm.remote import Wire
from rag.base.errors import BadDependency, QuotaExceeded, Unavailable
from rag.bench.upstream.bedrock import message as aws_event
from tests.upstream import ANSWER, recorded

PROMISED = (BadDependency, QuotaExceeded, Unavailable)
OPENAI = OpenAIWire(OpenAIConfig(base_url="http://upstream/v1", model="m"))
ANTHROPIC = AnthropicWire(AnthropicConfig(model="m"))
GEMINI = GeminiWire(GeminiConfig(model="m"))
BEDROCK = BedrockWire(BedrockConfig(model="m", region="eu-west-1"))
CONVERSATION = b"".join(
    [
        aws_event("messageStart", {"role": "assistant"}),
        aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "The embargo began"}}),
        aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": " in October 1973 [1]."}}),
        aws_event("contentBlockStop", {"contentBlockIndex": 0}),
        aws_event("messageStop", {"stopReason": "end_turn"}),
        aws_event("metadata", {"usage": {"inputTokens": 412, "outputTokens": 11, "totalTokens": 423}}),
    ]
)
STREAMS: dict[str, tuple[Wire, bytes]] = {
    "bedrock": (BEDROCK, CONVERSATION),
    **{name: (OPENAI, recorded(f"{name}.sse")[0]) for name in ("openai", "azure", "mistral", "openrouter", "vllm")},
    **{name: (ANTHROPIC, recorded(f"{name}.sse")[0]) for name in ("anthropic", "anthropic_thinking")},
    "gemini": (GEMINI, recorded("gemini.sse")[0]),
}


def answer(wire: Wire, *pieces: bytes) -> str:
    """The text of a stream that ended well."""
    completion = wire.completion("model 'm'")
    text = "".join(piece.text for data in (*pieces, None) for piece in completion.feed(data))
    assert completion.end() == "stop"
    return text


def answer_or_none(wire: Wire, stream: bytes) -> str | None:
    try:
        return answer(wire, stream)
    except BadDependency:
        return None


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_cut_anywhere_gives_the_whole_answer_or_an_error(name):
    wire, whole = STREAMS[name]
    answers = [answer_or_none(wire, whole[:cut]) for cut in range(len(whole) + 1)]
    assert set(answers) == {None, ANSWER}
    assert answers[0] is None
    assert answers[-1] == ANSWER


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_a_damaged_stream_raises_nothing_that_was_not_promised(name, data):
    wire, whole = STREAMS[name]
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 40)) :]
    completion = wire.completion("model 'm'")
    try:
        for received in (damaged, None):
            list(completion.feed(received))
        completion.end()
    except PROMISED as error:
        assert str(error).isprintable()  # noqa: PT017 -- most damage is found, not all


@given(st.sampled_from([OPENAI, ANTHROPIC, GEMINI, BEDROCK]), st.binary(max_size=200))
def test_an_error_page_of_any_kind_is_read_without_complaint(wire, body):
    assert wire.error({}, body) is not None
    assert wire.error({"x-amzn-errortype": "A:b"}, b'{"error": ' + body + b"}") is not None
