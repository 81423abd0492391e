import struct
from collections.abc import Iterator
from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.eventstream import MAX_HEADERS_BYTES, EventStreamParser, Message
from rag.base.errors import BadDependency
from rag.bench.upstream.bedrock import framed, string_header

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: 0 < len(name.encode()) < 256)
VALUES = st.text(max_size=40)
MESSAGES = st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), st.binary(max_size=200)), max_size=5)

# One header of each type that is no string, as the specification lays them out.
OTHER_HEADERS = [
    b"\x00",
    b"\x01",
    b"\x02\x7f",
    b"\x03\x00\x01",
    b"\x04" + bytes(4),
    b"\x05" + bytes(8),
    b"\x06\x00\x03abc",
    b"\x08" + bytes(8),
    b"\x09" + bytes(16),
]


def parsed(*pieces: bytes) -> list[Message]:
    parser = EventStreamParser()
    messages = [message for piece in pieces for message in parser.feed(piece)]
    return messages + parser.finish()


def byte_by_byte(stream: bytes) -> Iterator[Message]:
    parser = EventStreamParser()
    for byte in stream:
        yield from parser.feed(bytes([byte]))


def written(headers: dict[str, str], payload: bytes) -> bytes:
    fields = b""
    for name, value in headers.items():
        raw_name, raw_value = name.encode(), value.encode()
        fields += bytes([len(raw_name)]) + raw_name + b"\x07" + struct.pack(">H", len(raw_value)) + raw_value
    return framed(payload, fields)


def test_the_example_of_the_specification():
    """An empty message is sixteen bytes whose checksums are well known."""
    assert framed(b"") == bytes.fromhex("000000100000000005c248eb7d98c8ff")
    assert parsed(bytes.fromhex("000000100000000005c248eb7d98c8ff")) == [Message(headers={}, payload=b"")]


@given(MESSAGES, st.data())
def test_what_was_written_is_what_is_read_however_it_is_split(messages, data):
    stream = b"".join(written(headers, payload) for headers, payload in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[start:stop] for start, stop in pairwise([0, *cuts, len(stream)])]
    expected = [Message(headers=headers, payload=payload) for headers, payload in messages]
    assert parsed(*pieces) == expected
    assert list(byte_by_byte(stream)) == expected


@given(MESSAGES.filter(bool), st.data())
def test_damage_is_found_and_never_read_as_something_else(messages, data):
    stream = bytearray(b"".join(written(headers, payload) for headers, payload in messages))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= 1 << data.draw(st.integers(0, 7))
    seen: list[Message] = []
    with pytest.raises(BadDependency, match="checksum"):
        seen.extend(byte_by_byte(stream))
    assert seen == [Message(headers=headers, payload=payload) for headers, payload in messages[: len(seen)]]


@given(st.binary(max_size=300))
def test_noise_is_a_bad_dependency_or_nothing(noise):
    try:
        assert parsed(noise) == []
    except BadDependency:
        assert len(noise) >= 12


@given(st.binary(max_size=60))
def test_headers_that_are_noise_never_raise_anything_else(noise):
    try:
        [message] = parsed(framed(b"", noise))
    except BadDependency as error:
        assert "malformed headers" in str(error)  # noqa: PT017 -- most noise is malformed, not all
    else:
        assert all(isinstance(value, str) for value in message.headers.values())


def test_headers_of_other_types_are_stepped_over():
    headers = b"".join(bytes([1]) + b"x" + header for header in OTHER_HEADERS)
    stream = framed(b"p", headers + string_header(":event-type", "metadata"))
    assert parsed(stream) == [Message(headers={":event-type": "metadata"}, payload=b"p")]


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05ab",
        b"\x01a\x07\x00\x05abc",
        b"\x01a\x0a",
        b"\x01a\x07\x00",
        b"\x01a",
        b"\x01\xff\x00",
        b"\x01a\x09" + b"1",
    ],
)
def test_malformed_headers_are_a_bad_dependency(headers):
    with pytest.raises(BadDependency, match="malformed headers"):
        parsed(framed(b"", headers))


def test_lengths_are_bounded_before_anything_is_kept():
    assert len(EventStreamParser(max_message_bytes=116).feed(framed(bytes(100)))) == 1
    with pytest.raises(BadDependency, match="117 bytes"):
        EventStreamParser(max_message_bytes=116).feed(framed(bytes(101))[:12])
    with pytest.raises(BadDependency, match="of headers"):
        parsed(framed(b"", bytes(MAX_HEADERS_BYTES + 1))[:12])


@pytest.mark.parametrize(("n_bytes", "n_header_bytes"), [(15, 0), (20, 5), (0, 0)])
def test_a_message_that_cannot_hold_its_headers_is_refused(n_bytes, n_header_bytes):
    lengths = struct.pack(">II", n_bytes, n_header_bytes)
    with pytest.raises(BadDependency, match="cannot hold"):
        parsed(lengths + struct.pack(">I", crc32(lengths)))


def test_a_message_that_has_begun_when_the_stream_ends_is_lost():
    assert [message.payload for message in parsed(framed(b"whole"), framed(b"cut")[:-1])] == [b"whole"]
