from pathlib import Path

import pytest

from rag.base.errors import ConfigError
from rag.evals.answers import Judged, Reply, holds_gold, normalised_answer, read_judged, score_answers


@pytest.mark.parametrize(
    ("answer", "gold", "held"),
    [
        ("It was built in 1889. [1]", ["1889"], True),
        ("It was built in 18890.", ["1889"], False),
        ("The Normans, mostly.", ["a normans"], True),
        ("Nothing [1889] here", ["1889"], False),
        ("Anything", ["the", ""], False),
        ("U.S. troops", ["US"], True),
    ],
)
def test_a_gold_answer_counts_on_word_boundaries(answer: str, gold: list[str], held: bool) -> None:
    assert holds_gold(answer, gold) is held


def test_articles_case_and_punctuation_do_not_matter() -> None:
    assert normalised_answer("The  Quick, brown-fox!") == "quick brownfox"


async def test_shares_are_of_all_questions() -> None:
    questions = [Judged("1", "one", ("1",)), Judged("2", "two", ("2",)), Judged("3", "three", ("3",))]

    async def ask(question: str) -> Reply:
        stop = "insufficient_evidence" if question == "three" else "stop"
        return Reply("the answer is 1 [1]", stop, None, 0.5)

    scores = await score_answers(questions, ask)
    assert (scores.questions, scores.median_words, scores.median_s) == (3, 4, 0.5)
    assert scores.holds_gold == pytest.approx(1 / 3)
    assert scores.abstained == pytest.approx(1 / 3)


def test_a_folder_without_judged_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_judged(tmp_path)
    (tmp_path / "queries.jsonl").write_text('{"_id": "1", "text": "x"}\n')
    with pytest.raises(ConfigError, match="answers"):
        read_judged(tmp_path)
