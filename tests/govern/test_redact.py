"""Structured personal data and credentials are found, what only looks like them stays, and nothing else changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import ConfigError
from rag.govern.redact import MAX_CHARS, Found, find, finder_of, redactor
from tests.govern.pii import MAKERS, PLAIN, examples

N_EXAMPLES = 300


@pytest.mark.parametrize("kind", MAKERS)
def test_at_least_95_of_100_are_found_whole(kind: str) -> None:
    redact = redactor()
    missed = [value for text, value in examples(kind, N_EXAMPLES) if leaks(redact(text), value)]
    assert 1 - len(missed) / N_EXAMPLES >= 0.95, missed[:10]


def leaks(redacted: str, value: str) -> bool:
    """Whether the value, or more than a few characters of it, is still there."""
    return any(value[at : at + 5] in redacted for at in range(len(value) - 4)) or "[" not in redacted


@pytest.mark.parametrize("kind", MAKERS)
def test_most_are_called_what_they_are(kind: str) -> None:
    """A Polish number may pass for a Brazilian one, which is the same kind; a card must not be called a phone."""
    right = sum(f"[{kind}]" in redactor()(text) for text, _ in examples(kind, N_EXAMPLES))
    assert right / N_EXAMPLES >= 0.9


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redactor()(text) == text


def test_a_card_with_a_wrong_digit_is_no_card() -> None:
    assert redactor()("card 4111 1111 1111 1111 or 4111 1111 1111 1112") == "card [CARD] or 4111 1111 1111 1112"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("password: hunter22!", "[SECRET]"),
        ("postgres://ann:s3cret@db/x", "postgres://[SECRET]@db/x"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer [SECRET]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "[SECRET] end"),
        ("ann@example.com, bob@example.com", "[EMAIL], [EMAIL]"),
    ],
)
def test_credentials_in_their_places(text: str, redacted: str) -> None:
    assert redactor()(text) == redacted


@given(st.text())
def test_any_text_survives_and_what_was_found_is_gone(text: str) -> None:
    """The second pass finds nothing new in what the first left between its marks."""
    found = find(text)
    assert found == sorted(found)
    assert all(0 <= one.start < one.stop <= len(text) for one in found)
    if not found:
        assert redactor()(text) == text


def test_a_finder_of_ones_own_is_asked_too() -> None:
    def people(text: str) -> list[Found]:
        at = text.find("Ann Smith")
        return [Found(at, at + 9, "PERSON")] if at >= 0 else []

    assert redactor([people])("Ann Smith <ann@example.com>") == "[PERSON] <[EMAIL]>"


def test_a_finder_is_found_by_its_name_and_a_wrong_name_is_an_error_of_the_settings() -> None:
    assert finder_of("rag.govern.redact:find") is find
    for place in ("rag.nowhere:find", "rag.govern.redact:nothing"):
        with pytest.raises(ConfigError, match=r"redaction\.finders"):
            finder_of(place)


def test_overlapping_finds_hide_all_that_either_covers() -> None:
    whole = redactor([lambda text: [Found(0, len(text) - 2, "ALL")]])
    assert whole("xx ann@example.com") == "[ALL]"


def test_a_long_text_of_digits_takes_no_time_to_speak_of() -> None:
    """The patterns are bounded: none of them backtracks without end. 20 kB would take minutes if one did."""
    for text in (
        "1 " * 10_000,
        "a." * 10_000,
        "+1" * 10_000,
        "@" * 20_000,
        "a@" * 10_000,
        ":" * 20_000,
        "AB12 " * 4_000,
    ):
        assert redactor()(text) == text


def test_of_a_very_long_text_the_rest_is_left_out() -> None:
    text = "Ask ann@example.com. " + "x" * MAX_CHARS + " bob@example.com"
    redacted = redactor()(text)
    assert redacted.startswith("Ask [EMAIL]. xxx")
    assert redacted.endswith("x [CUT]")
    assert len(redacted) < MAX_CHARS


def test_what_is_cut_in_two_is_not_half_shown() -> None:
    address = "ann@example.com"
    for cut in range(1, len(address)):
        text = "x " * ((MAX_CHARS - cut) // 2) + "y" * ((MAX_CHARS - cut) % 2) + address + " " * 300
        assert "ann" not in redactor()(text)
