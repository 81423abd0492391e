import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.allowance import MAX_RESET_S, Allowance, Allowances, allowances

NOW_S = 1_763_900_000.0  # 2025-11-23T12:13:20Z


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (
            {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "3",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "29000",
                "x-ratelimit-reset-tokens": "1m2s",
            },
            Allowances(requests=Allowance(3, 0.12), tokens=Allowance(29_000, 62.0)),
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2025-11-23T12:13:50Z",
                "anthropic-ratelimit-tokens-remaining": "80000",
                "anthropic-ratelimit-tokens-reset": "2025-11-23T12:13:21Z",
                "anthropic-ratelimit-input-tokens-remaining": "5000",
                "anthropic-ratelimit-input-tokens-reset": "2025-11-23T12:13:30Z",
            },
            Allowances(requests=Allowance(0, 30.0), tokens=Allowance(5_000, 10.0)),
        ),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "1s"}, Allowances()),
        (
            {
                "x-ratelimit-limit-tokens": "0",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1s",
            },
            Allowances(),
        ),
        ({"x-ratelimit-remaining-requests": "0"}, Allowances()),
        ({"x-ratelimit-remaining-requests": "nan", "x-ratelimit-reset-requests": "soon"}, Allowances()),
        (
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "24h0m0s"},
            Allowances(requests=Allowance(0, MAX_RESET_S)),
        ),
        ({}, Allowances()),
    ],
)
def test_what_is_left_is_read_from_the_headers(headers, told):
    assert allowances(headers, NOW_S) == told


@given(
    st.dictionaries(
        st.sampled_from(
            [
                f"{head}-{what}"
                for head in ("x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-limit")
                for what in ("requests", "tokens")
            ]
        ),
        st.text(max_size=20),
    )
)
def test_no_header_is_too_strange(headers):
    told = allowances(headers, NOW_S)
    for allowance in (told.requests, told.tokens):
        assert allowance is None or 0 <= allowance.reset_s <= MAX_RESET_S
