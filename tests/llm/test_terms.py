import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.expectation import expectation
from llm.terms import content_terms, stem, terms


@pytest.mark.parametrize(
    "forms",
    [
        ["embargo", "embargos"],
        ["begin", "begins"],
        ["policy", "policies"],
        ["stop", "stopped", "stopping", "stops"],
        ["rise", "rises", "rising"],
        ["company", "companies"],
    ],
)
def test_the_forms_of_a_word_have_one_stem(forms):
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize(("one", "other"), [("gas", "gap"), ("bus", "but"), ("1973", "1974"), ("a1s", "a1")])
def test_short_words_and_numbers_are_left_alone(one, other):
    assert stem(one) != stem(other)


def test_numbers_keep_their_separators_and_characters_without_spaces_stand_alone():
    assert terms("US$12,500.50 at 3.5") == ["us", "12,500.50", "at", "3.5"]
    assert terms("\u77f3\u6cb9 oil") == ["\u77f3", "\u6cb9", "oil"]


def test_a_question_of_small_words_keeps_them():
    assert content_terms("Who are The Who?") == ("who", "are", "the")
    assert content_terms("When did the oil crisis begin in the crisis?") == ("oil", "cris", "begin")


@given(st.text())
def test_any_text_has_terms(text):
    assert all(terms(text))
    assert len(set(content_terms(text))) == len(content_terms(text))


@pytest.mark.parametrize(
    ("question", "fits", "misses"),
    [
        ("When did it begin?", "It began in October.", "It began slowly."),
        ("In which year did Rome fall?", "Rome fell in 476 AD.", "Rome fell at last."),
        ("How many people live there?", "Some five million live there.", "People live there."),
        ("How much did it cost?", "It was $5.", "It was dear."),
        ("What percentage is water?", "About 71% is water.", "Most of it is water."),
        ("Why did it fail?", "It failed because of rust.", "It failed."),
        ("Who wrote it?", "It was written by Ada Lovelace.", "it was written by hand."),
        ("Where is it kept?", "It is kept in Paris.", "It is kept cold."),
    ],
)
def test_a_question_word_promises_a_kind_of_answer(question, fits, misses):
    expected = expectation(question)
    assert expected is not None
    assert expected.search(fits)
    assert not expected.search(misses)


def test_other_questions_promise_nothing():
    assert expectation("Explain the embargo.") is None
