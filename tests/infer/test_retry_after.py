import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.infer.retry_after import MAX_RETRY_AFTER_S, duration_s, retry_after_s

NOW_S = 1_763_900_000.0  # Sun, 23 Nov 2025 12:13:20 GMT
RETRY_INFO = json.dumps(
    {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure"}, {"retryDelay": "38.5s"}]}}
).encode()


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, b"", 7.0),
        ({"retry-after": "0.5"}, b"", 0.5),
        ({"retry-after": "2s"}, b"", 2.0),
        ({"retry-after": "Sun, 23 Nov 2025 12:13:50 GMT"}, b"", 30.0),
        ({"retry-after": "Sun, 23 Nov 2025 12:00:00 GMT"}, b"", 0.0),
        ({"retry-after": "-3"}, b"", 0.0),
        ({"retry-after": "nan"}, b"", 0.0),
        ({"retry-after": "inf"}, b"", MAX_RETRY_AFTER_S),
        ({"retry-after": "soon"}, b"", None),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"}, b"", None),
        ({"retry-after": "Mon, 01 Jan 99999999999999 00:00:00 GMT"}, b"", None),
        ({}, json.dumps({"error": {"details": [{"retryDelay": "1" * 60_000}]}}).encode(), None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, b"", 1.5),
        ({"x-ms-retry-after-ms": "250", "retry-after": "9"}, b"", 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, b"", 9.0),
        ({}, RETRY_INFO, 38.5),
        ({"retry-after": "1"}, RETRY_INFO, 1.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, b"", 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "250ms"}, b"", 0.25),
        ({"x-ratelimit-remaining-tokens": "12", "x-ratelimit-reset-tokens": "250ms"}, b"", None),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "-1"}, b"", None),
        ({}, b"<html>", None),
        ({}, b"\xff", None),
        ({}, b"[]", None),
    ],
)
def test_every_spelling_is_read(headers, body, seconds):
    assert retry_after_s(headers, body, NOW_S) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h2m3.5s", 3723.5), ("5ms", 0.005), ("", None), ("5", None), ("5s!", None)]
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@given(
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "x-ms-retry-after-ms"]), st.text()), st.binary()
)
def test_whatever_is_sent_the_wait_is_none_or_within_its_bounds(headers, body):
    seconds = retry_after_s(headers, body, NOW_S)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S
