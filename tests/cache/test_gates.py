"""Questions that only look alike are told apart, and ones that only look different are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.gates import GATES, refused_by
from cache.wording import stem, worded
from rag.evals.cache_pairs import adversarial_pairs, paraphrases

DIFFERENT = [
    ("How was it ported from .NET to Java?", "How was it ported from Java to .NET?", "roles"),
    ("What is in Lesson 3?", "What is in Lesson 14?", "numbers"),
    ("What is on page three?", "What is on page four?", "numbers"),
    ("Can I cancel?", "Can't I cancel?", "negation"),
    ("Is aspirin safe?", "Is aspirin unsafe?", "direction"),
    ("How many pounds is it?", "How many kilograms is it?", "units"),
    ('What does "foo" mean?', 'What does "bar" mean?', "quotes"),
    ("Who runs Acme today?", "Who runs Globex today?", "names"),
    ("Who signed it?", "When was it signed?", "kind"),
    ("Who is the head coach?", "Who was the head coach?", "tense"),
    ("When does it start?", "When did it start?", "tense"),
    ("Can jellyfish change colour?", "Do jellyfish change colour?", "tense"),
    ("Why don't I understand it?", "Why can't I understand it?", "tense"),
    ("How many have you asked?", "How many have been asked?", "tense"),
    ("What does the symbol mean?", "What does the symbol \N{CURLY LOOP} mean?", "numbers"),
    ("What is your theory of life?", "What is a theory of life?", "pointing"),
    ("What is this animal?", "What is an animal?", "pointing"),
    ("Is it free?", "Is it free in Peru?", "wording"),
    ("Do all birds fly?", "Do birds fly?", "scope"),
    ("Can I take zinc or iron?", "Can I take zinc and iron?", "scope"),
    ("Who may enter?", "Who may enter except guests?", "exclusion"),
    ("How do I pay the interest?", "How do I pay just the interest?", "exclusion"),
    ("Who does Ann see?", "Who sees Ann?", "roles"),
    ("Who is hit by Ann?", "Who hits Ann?", "roles"),
    ("What does the father of Ann think?", "What does Ann think of the father?", "roles"),
    ("Is A1 larger than B2?", "Is B2 larger than A1?", "roles"),
    (
        "What is trade with rich countries in poor countries?",
        "What is trade with poor countries in rich ones?",
        "roles",
    ),
    ("Can I see you?", "Can you see me?", "roles"),
    ("Are there Jews in the US?", "Are there Jews?", "wording"),
    ("What does vitamin A do?", "What does a vitamin do?", "wording"),
    ("What is SMTP?", "What does SMTP do?", "wording"),
    ("Share price of the firm?", "Price of the firm?", "wording"),
    ("How do I sleep well?", "How do I sleep?", "wording"),
    ("Привет?", "Privet?", "language"),
    ("what", "what", "length"),
]
SAME = [
    ("What is the capital of France?", "What's France's capital?"),
    ("How do I reset my password?", "What is the way to reset a password?"),
    ("How do I reset my password?", "how to reset my password"),
    ("When did the war start?", "In what year did the war start?"),
    ("Who won the cup in 1990?", "In 1990, who won the cup?"),
    ("What is the difference between TCP and UDP?", "what is the difference between UDP and TCP"),
    ("How long is a refund?", "Hi there, could you please tell me how long a refund is? Thanks!"),
    ("What causes headaches?", "what causes headache"),
    ("Which cities are in Peru?", "What are the cities of Peru?"),
    ("How many TVs were sold?", "How many televisions were sold?"),
    ("When did the 1973 oil crisis begin?", "Could you tell me when the 1973 oil crisis began?"),
    ("How did they solve it?", "I wonder how they solved it"),
    ("What does it mean?", "Tell me what it means"),
    ("WHAT IS A REFUND?", "what is a refund"),
    ("Do I owe you a refund?", "Tell me if I owe you a refund"),
]


@pytest.mark.parametrize(("one", "other", "gate"), DIFFERENT)
def test_each_gate_shuts_for_its_reason(one: str, other: str, gate: str) -> None:
    assert (refused_by(one, other) is None, refused_by(other, one) is None) == (False, False)
    assert refused_by(one, other) == gate


def test_every_gate_is_shown() -> None:
    assert {gate for _, _, gate in DIFFERENT} == set(GATES)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_other_wordings_pass(one: str, other: str) -> None:
    assert refused_by(one, other) is None
    assert refused_by(other, one) is None


def test_generated_pairs_that_only_look_alike_are_told_apart() -> None:
    pairs = adversarial_pairs(2_400, seed=11)
    assert {pair.kind for pair in pairs} >= {"polarity", "entity", "number", "unit", "direction", "scope", "role"}
    served = [pair for pair in pairs if refused_by(pair.one, pair.other) is None]
    assert len(served) <= 0.005 * len(pairs), served[:5]


def test_templates_that_keep_the_sense_pass() -> None:
    questions = [pair.one for pair in adversarial_pairs(200, seed=5)]
    asked = [(question, form) for question in questions for form in paraphrases(question)]
    passed = sum(refused_by(question, form) is None for question, form in asked)
    assert passed >= 0.95 * len(asked)


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_breaks_them_and_the_order_does_not_matter(one: str, other: str) -> None:
    assert (refused_by(one, other) is None) == (refused_by(other, one) is None)


@given(st.text(max_size=80))
def test_a_question_passes_for_itself_if_it_says_anything(question: str) -> None:
    assert refused_by(question, question) in (None, "length")


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (["refund", "refunds", "refunded", "refunding"], "refund"),
        (["city", "cities"], "city"),
        (["run", "runs", "ran", "running"], "run"),
        (["bus"], "bus"),
        (["v2"], "v2"),
    ],
)
def test_inflections_have_one_stem(forms: list[str], expected: str) -> None:
    assert {stem(form) for form in forms} == {expected}


@pytest.mark.parametrize(
    ("question", "kind", "content"),
    [
        ("Can you tell me how many seats there are?", "amount", ("seat",)),
        ("What's the best way to learn C++?", "thing", ("best", "way", "learn", "c++")),
        ("Please explain: why do cats purr?", "why", ("cat", "purr")),
        ("refund policy", "none", ("refund", "policy")),
    ],
)
def test_a_question_is_taken_apart(question: str, kind: str, content: tuple[str, ...]) -> None:
    assert (worded(question).kind, worded(question).content) == (kind, content)


def test_what_is_too_long_is_not_even_read():
    """Any caller could have a worker read 8,000 characters of signs for seconds, and remember them for good."""
    before = worded.cache_info()
    assert refused_by("$" * 8_000, "$" * 8_000) == "length"
    assert refused_by("Who signed it?", "Who signed it? " + "$" * 8_000) == "length"
    assert worded.cache_info() == before
