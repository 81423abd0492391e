"""What may be kept, for how long, and what a caller may ask."""

import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig
from cache.policy import is_personal, reads, ttl_s, unfit, writes
from rag.base.answers import Answer
from rag.base.types import Principal, Query
from tests.serve.stage import ANSWER, CANDIDATE, SOURCE

QUERY = Query(text="How long may a refund take?", principal=Principal(subject="ann", tenant="acme"), request_id="r1")
CONFIG = MemoryConfig(ttl_s=1000.0, time_words_ttl_s=10.0, model_ttl_s={"news": 50.0})


def from_personal() -> Answer:
    candidate = replace(CANDIDATE, passage=replace(CANDIDATE.passage, metadata={"personal": True}))
    return replace(ANSWER, sources=(replace(SOURCE, candidates=(candidate,)),))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ANSWER, None),
        (replace(ANSWER, stop_reason="insufficient_evidence"), "refused"),
        (replace(ANSWER, stop_reason="length"), "truncated"),
        (replace(ANSWER, stop_reason="content_filter"), "truncated"),
        (replace(ANSWER, degraded=("generate",)), "degraded"),
        (replace(ANSWER, text="Write to jo.doe@example.org. [1]"), "personal"),
        (from_personal(), "personal"),
    ],
)
def test_only_whole_answers_at_their_best_about_nobody_are_kept(answer: Answer, reason: str | None) -> None:
    assert unfit(QUERY, answer, CONFIG) == reason


def test_the_operator_may_keep_what_is_personal() -> None:
    assert unfit(QUERY, from_personal(), replace(CONFIG, keep_personal=True)) is None


@pytest.mark.parametrize(
    ("text", "personal"),
    [
        ("Is jo@example.org a customer?", True),
        ("Call +49 30 1234 5678 please", True),
        ("What about (555) 123-4567?", True),
        ("My card is 4111 1111 1111 1111", True),
        ("My card is 4111 1111 1111 1112", False),
        ("Pay to DE89 3704 0044 0532 0130 00", True),
        ("Pay to DE89 3704 0044 0532 0130 01", False),
        ("SSN 078-05-1120", True),
        ("How many people lived there from 1990 to 1999?", False),
        ("What is ISO 3166-1?", False),
        ("Is 62,528 more than 8,525?", False),
        ("What happened on 2024-01-31?", False),
        ("Python 3.11.4 or 3.12?", False),
    ],
)
def test_personal_numbers_are_told_from_others(text: str, personal: bool) -> None:
    assert is_personal(text) == personal


@pytest.mark.parametrize(
    ("text", "model", "expected_s"),
    [
        ("Who wrote it?", None, 1000.0),
        ("Who wrote it?", "news", 50.0),
        ("Who is the current pope?", None, 10.0),
        ("What changed this week?", "news", 10.0),
        ("What is the latest version?", None, 10.0),
        ("What is electric current?", None, 10.0),
    ],
)
def test_questions_about_the_present_age_faster(text: str, model: str | None, expected_s: float) -> None:
    assert ttl_s(replace(QUERY, text=text), CONFIG, model or "") == expected_s


def test_modes() -> None:
    modes = {
        mode: (reads(replace(QUERY, cache=mode)), writes(replace(QUERY, cache=mode)))
        for mode in ("use", "read", "write", "refresh", "off")
    }
    assert modes == {
        "use": (True, True),
        "read": (True, False),
        "write": (False, True),
        "refresh": (False, True),
        "off": (False, False),
    }
