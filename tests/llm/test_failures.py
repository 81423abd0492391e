import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.failures import DEFAULT_RETRY_AFTER_S, WireError, as_error, failure_of
from rag.base.errors import BadDependency, QuotaExceeded, Unavailable


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (WireError(code=529), "overload", 529),
        (WireError(code="503"), "overload", 503),
        (WireError(type="overloaded_error"), "overload", 529),
        (WireError(type="api_error"), "overload", 500),
        (WireError(type="request_too_large"), "context_length", 413),
        (WireError(type="rate_limit_error", code="enforced_spend_limit_reached"), "credentials", 429),
        (WireError(code="rate_limit_exceeded"), "rate_limit", 429),
        (WireError(code="insufficient_quota", type="insufficient_quota"), "credentials", 502),
        (WireError(type="authentication_error"), "credentials", 401),
        (WireError(type="invalid_request_error", code="context_length_exceeded"), "context_length", 400),
        (WireError(type="invalid_request_error"), "rejected", 400),
        (WireError(type="RESOURCE_EXHAUSTED"), "rate_limit", 429),
        (WireError(type="INVALID_ARGUMENT", code="API_KEY_INVALID"), "credentials", 400),
        (WireError(type="RESOURCE_EXHAUSTED", code="quota_per_day"), "credentials", 429),
        (WireError(code="throttlingException"), "rate_limit", 429),
        (WireError(code="throttlingException", message="Too many tokens per day, please wait."), "credentials", 429),
        (WireError(code="modelStreamErrorException"), "overload", 424),
        (WireError(code="internalServerException"), "overload", 500),
        (WireError(message="what happened"), "overload", 502),
        (WireError(code=3), "overload", 502),
        (WireError(code="9" * 5_000), "overload", 502),
    ],
)
def test_an_error_inside_a_stream_stands_for_a_status(error, kind, status):
    failure = failure_of(None, error)
    assert (failure.kind, failure.status) == (kind, status)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("prompt is too long: 209353 tokens > 199999 maximum", "context_length"),
        ("Input is too long for requested model.", "context_length"),
        ("The input token count (314175) exceeds the maximum number of tokens allowed (131072).", "context_length"),
        ("This model's maximum context length is 4096 tokens.", "context_length"),
        ("Your credit balance is too low to access the Anthropic API.", "credentials"),
        ("You have reached your specified workspace API usage limits.", "credentials"),
        ("Output blocked by content filtering policy", "content_policy"),
        ("messages: at least one message is required", "rejected"),
    ],
)
def test_a_plain_400_is_told_by_its_message(message, kind):
    assert failure_of(400, WireError(type="invalid_request_error", message=message)).kind == kind


def test_a_rate_limit_without_a_hint_gets_a_default():
    error = as_error(failure_of(429, WireError()), "model 'm'")
    assert isinstance(error, QuotaExceeded)
    assert error.retry_after_s == DEFAULT_RETRY_AFTER_S


@given(
    status=st.integers(300, 599) | st.none(),
    error=st.builds(
        WireError, message=st.text(), type=st.text() | st.none(), code=st.text() | st.integers() | st.none()
    ),
)
def test_every_refusal_is_one_of_three_errors_and_its_text_is_short_and_printable(status, error):
    raised = as_error(failure_of(status, error), "model 'm'")
    assert isinstance(raised, BadDependency | Unavailable | QuotaExceeded)
    assert str(raised).isprintable()
    assert len(str(raised)) < 250
