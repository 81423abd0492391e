import msgspec
from hypothesis import given
from hypothesis import strategies as st

from llm.completion import Piece
from llm.openai import OpenAICompletion
from llm.sse import SseEvent, SseParser
from rag.base.errors import DependencyError

_TEXTS = st.none() | st.text(max_size=3)
_DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": _TEXTS | st.just([{"type": "text", "text": "part"}]),
        "refusal": _TEXTS,
        "reasoning": _TEXTS,
        "reasoning_content": _TEXTS,
        "tool_calls": st.none() | st.just([{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]),
    },
)
_CHOICES = st.fixed_dictionaries(
    {}, optional={"index": st.just(0), "delta": st.none() | _DELTAS, "finish_reason": st.none() | st.just("stop")}
)
_CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "object": st.sampled_from(["chat.completion.chunk", "error"]),
        "choices": st.none() | st.lists(_CHOICES, max_size=2),
        "usage": st.none() | st.just({"prompt_tokens": 1, "completion_tokens": 2}),
        "error": st.none() | st.just("it broke") | st.just({"message": "it broke"}),
    },
)


@given(_CHUNKS, st.sampled_from(["message", "error"]))
def test_the_short_way_says_what_the_long_way_says_and_is_taken_for_texts_alone(chunk, name):
    event = SseEvent(name, msgspec.json.encode(chunk))
    text = OpenAICompletion("model", SseParser()).text_of(event)
    long = OpenAICompletion("model", SseParser())
    try:
        piece = long.read(event)
    except DependencyError:
        assert text is None
        return
    if text is not None:
        assert piece in (Piece(text, is_progress=True), Piece(text))
        assert (long.usage, long.ending, long.is_done, long.n_calls) == (None, None, False, 0)


def test_the_short_way_is_taken():
    plain = (
        b'{"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word"}}],"usage":null}'
    )
    assert OpenAICompletion("model", SseParser()).text_of(SseEvent("message", plain)) == "word"
