import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.evidence import ABOVE, FITS, FRAGMENT_PENALTY, NEAR, RANK, TITLED, gathered, promising, scores
from llm.selection import chosen, confidence
from tests.prompts import a_source

WORDS = st.sampled_from(
    ["oil", "crisis", "embargo", "began", "1973", "Egypt", "the", "of", "price", "It", "#", "-", "|"]
)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=9).map(" ".join), max_size=6).map(". ".join)
SOURCES = st.lists(TEXTS, max_size=4).map(
    lambda texts: [a_source(marker, text) for marker, text in enumerate(texts, start=1)]
)


def best_of(question: str, *texts: str) -> str:
    evidence = gathered(question, [a_source(marker, text) for marker, text in enumerate(texts, start=1)])
    return evidence.sentences[promising(evidence, 1)[0]].text


@pytest.mark.parametrize(
    ("question", "text", "best"),
    [
        (
            "When did the embargo begin?",
            "The embargo hurt many. The embargo began in October 1973. Prices rose.",
            "The embargo began in October 1973.",
        ),
        (
            "How many members does the council have?",
            "The council meets weekly. Its members are 28 in number. It has members of many parties.",
            "Its members are 28 in number.",
        ),
        (
            "What is the refund period?",
            "# Refund period\n\nYou may return goods within 30 days for a refund.",
            "You may return goods within 30 days for a refund.",
        ),
        (
            "How do I reset my password?",
            "How do I reset my password?\n\nOpen the settings and choose reset.",
            "Open the settings and choose reset.",
        ),
    ],
)
def test_the_sentence_that_answers_scores_best(question, text, best):
    assert best_of(question, text) == best


def test_a_subject_named_in_the_title_counts_for_every_sentence_below_it():
    sources = [
        a_source(1, "It was founded in 1901. It closed later.", title="Grand Theatre"),
        a_source(2, "The library was founded in 1850. It closed later.", title="City Library"),
    ]
    evidence = gathered("When was the Grand Theatre founded?", sources)
    assert evidence.sentences[promising(evidence, 1)[0]].text == "It was founded in 1901."


def test_list_marks_and_reference_marks_are_taken_off_and_white_space_is_single():
    evidence = gathered("x", [a_source(1, "- The  price\nrose [3] by\n 4 %.[12, 13]\n- Next item.")])
    assert [sentence.text for sentence in evidence.sentences] == ["The price rose by 4 %.", "Next item."]


def test_equal_sentences_are_read_once():
    evidence = gathered("oil", [a_source(1, "The oil price rose."), a_source(2, "The oil price rose.")])
    assert promising(evidence, 5) == [0]


def test_coverage_is_of_one_source_not_of_all_together():
    together = gathered(
        "Where do zebras and walruses live?", [a_source(1, "Zebras live.", title="Zebras and walruses")]
    )
    apart = gathered("Where do zebras and walruses live?", [a_source(1, "Zebras live."), a_source(2, "Walruses live.")])
    assert together.coverage == pytest.approx(1.0)
    assert apart.coverage < 0.9


@given(question=TEXTS, sources=SOURCES)
def test_scores_are_bounded_and_every_quote_is_in_its_source(question, sources):
    evidence = gathered(question, sources)
    assert len(evidence.lexical) == len(evidence.sentences)
    assert all(-FRAGMENT_PENALTY <= score <= TITLED + ABOVE + FITS + RANK + 1e-9 for score in evidence.lexical)
    assert -1e-9 <= evidence.coverage <= 1 + 1e-9
    for sentence in evidence.sentences:
        assert sentence.text in " ".join(sources[sentence.source].text.split())


@given(question=TEXTS, sources=SOURCES, nearness=st.floats(-1, 1))
def test_a_nearer_sentence_scores_higher_and_raises_the_confidence(question, sources, nearness):
    evidence = gathered(question, sources)
    if not evidence.sentences:
        return
    index = promising(evidence, 1)[0]
    far, near = scores(evidence, {index: -1.0}), scores(evidence, {index: nearness})
    assert near[index] - far[index] == pytest.approx(NEAR * (nearness + 1))
    assert confidence(evidence, near, {index: nearness}) >= confidence(evidence, far, {index: -1.0})


@given(question=TEXTS, sources=SOURCES, limit=st.integers(1, 4))
def test_the_choice_holds_the_best_within_the_limit_in_reading_order_and_nothing_twice(question, sources, limit):
    evidence = gathered(question, sources)
    ranked = scores(evidence, {})
    picked = chosen(evidence, ranked, limit)
    assert len(picked) <= limit
    assert [(sentence.source, sentence.place) for sentence in picked] == sorted(
        (sentence.source, sentence.place) for sentence in picked
    )
    assert len({sentence.text for sentence in picked}) == len(picked)
    if ranked:
        best = max(range(len(ranked)), key=ranked.__getitem__)
        assert evidence.sentences[best].text in {sentence.text for sentence in picked}
        assert 0 < confidence(evidence, ranked, {}) < 1
    else:
        assert picked == []
        assert confidence(evidence, ranked, {}) == 0.0


def test_a_sentence_that_begins_with_a_pronoun_brings_the_one_before_it_where_there_is_room():
    text = "Marie Curie moved to Paris. She won the Nobel Prize in 1903. Bread is baked from flour."
    question = "In which year was the Nobel Prize won?"
    evidence = gathered(question, [a_source(1, text)])
    ranked = [-9.0, 9.0, -9.0]
    assert [sentence.place for sentence in chosen(evidence, ranked, 3)] == [0, 1]
    assert [sentence.place for sentence in chosen(evidence, ranked, 1)] == [1]
