from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.sse import SseEvent, SseParser
from rag.base.errors import BadDependency


def parsed(*pieces: bytes) -> list[SseEvent]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def message(data: bytes, name: str = "message") -> SseEvent:
    return SseEvent(name=name, data=data)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_kind_of_line_end_ends_a_line(end):
    stream = b"data: one" + end + end + b"event: error" + end + b"data: two" + end + b"data: three" + end + end
    assert parsed(stream) == [message(b"one"), message(b"two\nthree", "error")]


def test_comments_ids_retries_and_unknown_fields_say_nothing():
    stream = b": OPENROUTER PROCESSING\n\nid: 7\nretry: 100\nnonsense\ndata: x\n\n: ping\n\n"
    assert parsed(stream) == [message(b"x")]


def test_a_byte_order_mark_and_a_missing_space_are_accepted():
    assert parsed(b"\xef\xbb\xbfdata:x\n\n") == [message(b"x")]
    assert parsed(b"\xef", b"\xbb", b"\xbfdata:x\n\n") == [message(b"x")]


def test_only_one_leading_space_is_taken_off_and_no_trailing_one():
    assert parsed(b"data:  x \n\n") == [message(b" x ")]


def test_an_event_without_data_is_no_event_and_its_name_is_forgotten():
    assert parsed(b"event: ping\n\ndata: x\n\n") == [message(b"x")]


def test_an_empty_data_line_is_an_event():
    assert parsed(b"data\n\ndata:\n\n") == [message(b""), message(b"")]


def test_the_last_event_needs_no_blank_line():
    assert parsed(b"data: [DONE]") == [message(b"[DONE]")]
    assert parsed(b"data: [DONE]\n") == [message(b"[DONE]")]


def test_a_line_feed_in_the_next_piece_belongs_to_the_return_before_it():
    assert parsed(b"data: x\r", b"\ndata: y\r", b"\n\r", b"\n") == [message(b"x\ny")]


def test_characters_that_only_python_takes_for_line_ends_do_not_end_a_line():
    data = "a\x0b\x0c\x1c\x85\u2028b".encode()
    assert parsed(b"data: " + data + b"\n\n") == [message(data)]


@pytest.mark.parametrize(
    "stream", [b"data: 0123456789", b"data: 01234\ndata: 56789\n", b":" + b"x" * 20, b"data:\n" * 30]
)
def test_an_event_over_the_bound_is_refused_wherever_its_bytes_lie(stream):
    parser = SseParser(max_event_bytes=14)
    with pytest.raises(BadDependency, match="over 14 bytes"):
        list(map(parser.feed, (bytes([byte]) for byte in stream)))


_LINES = st.sampled_from(
    [
        b'data: {"a": 1}',
        b"data:",
        b"data: \xc3\xa9\xe2\x82\xac",
        b"event: error",
        b": ping",
        b"",
        b"",
        b"id: 1",
        b"data",
    ]
)
_STREAMS = st.lists(st.tuples(_LINES, st.sampled_from([b"\n", b"\r", b"\r\n"]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(stream=_STREAMS | st.binary(max_size=60), bom=st.booleans(), data=st.data())
def test_any_split_of_the_bytes_gives_the_same_events(stream, bom, data):
    stream = b"\xef\xbb\xbf" + stream if bom else stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[start:stop] for start, stop in pairwise(edges)]
    assert parsed(*pieces) == parsed(stream)


@given(st.lists(st.binary(max_size=20).filter(lambda data: b"\n" not in data and b"\r" not in data), max_size=8))
def test_what_was_written_is_what_is_read(payloads):
    stream = b"".join(b"data: " + payload + b"\n\n" for payload in payloads)
    assert [event.data for event in parsed(stream)] == payloads


@given(st.lists(_LINES | st.just(b"")).map(b"\n".join), st.booleans())
def test_whole_events_are_read_at_once_as_they_are_byte_by_byte(stream, bom):
    stream = (b"\xef\xbb\xbf" if bom else b"") + stream + b"\n\n"
    assert parsed(stream) == parsed(*(bytes([byte]) for byte in stream))


def test_a_whole_event_over_the_bound_is_refused():
    parser = SseParser(max_event_bytes=14)
    assert parser.feed(b"data: 01234567\n\ndata: 01234567\n\n") == [message(b"01234567")] * 2
    with pytest.raises(BadDependency, match="over 14 bytes"):
        parser.feed(b"data: 0\n\ndata: 012345678\n\n")
