import pytest

from rag.base.types import Turn
from rag.pipeline.rewrite import standalone

HISTORY = (
    Turn(role="user", content="Who built the Eiffel Tower?"),
    Turn(role="assistant", content="Gustave Eiffel."),
)


@pytest.mark.parametrize("question", ["When was it finished?", "And the height?", "What about its paint?", "Why?"])
def test_a_follow_up_gets_its_subject_back(question: str) -> None:
    assert standalone(question, HISTORY) == f"Who built the Eiffel Tower?\n{question}"


def test_a_long_turn_before_it_does_not_push_the_question_out_of_what_is_read() -> None:
    asked = standalone("And when?", (Turn(role="user", content="The tower " + "is tall " * 4_000),))
    assert asked.startswith("The tower is tall")
    assert asked.endswith("\nAnd when?")
    assert len(asked) < 500


def test_a_question_with_its_own_subject_stays_as_it_is() -> None:
    question = "How many people live in Lyon today?"
    assert standalone(question, HISTORY) == question
    assert standalone("Why?", ()) == "Why?"
