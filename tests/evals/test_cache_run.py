"""Hits are judged by their gold answers."""

from msgspec.structs import replace

from rag.base.answers import Answer, Recall
from rag.evals.cache_pairs import adversarial_pairs, score_generated
from rag.evals.cache_run import Gold, Wording, read_gold, score_cache, wordings_of
from tests.serve.stage import ANSWER

HEIGHT = Gold(text="How tall is it?", answers=frozenset({"330 m"}), document="p1")
METRES = Gold(text="What is its height?", answers=frozenset({"330 m", "1083 ft"}), document="p2")
YEAR = Gold(text="When was it built?", answers=frozenset({"1889"}), document="p1")
OTHER = Gold(text="When was it lost?", answers=frozenset({"1920"}), document="p3")


def hit(question: str) -> Answer:
    return replace(ANSWER, cache=Recall(status="hit", tier="semantic", question=question))


async def scored(questions: list[Gold], answers: dict[str, Answer]) -> dict[str, float]:
    async def ask(text: str) -> Answer:
        return answers.get(text, ANSWER)

    asked = [Wording(question.text, number, True) for number, question in enumerate(questions)]
    scores = await score_cache(questions, [*asked, Wording("How tall is it, please?", 0, False)], ask)
    return {name: getattr(scores, name) for name in scores.__struct_fields__}


async def test_a_hit_is_wrong_when_no_gold_answer_is_shared() -> None:
    scores = await scored(
        [HEIGHT, METRES], {METRES.text: hit(HEIGHT.text), "How tall is it, please?": hit(HEIGHT.text)}
    )
    assert (scores["semantic_hits"], scores["wrong_hits"], scores["paraphrases"]) == (2, 0, 1)
    scores = await scored([HEIGHT, YEAR, OTHER], {YEAR.text: hit(HEIGHT.text), OTHER.text: hit(YEAR.text)})
    assert (scores["wrong_hits"], scores["wrong_from_another_document"]) == (2, 1)
    assert scores["wrong_upper"] == 1.0


async def test_a_paraphrase_could_hit_once_its_question_is_kept() -> None:
    scores = await scored([HEIGHT], {})
    assert (scores["paraphrases_that_could_hit"], scores["paraphrases_that_hit"]) == (1, 0)
    refused = replace(ANSWER, stop_reason="insufficient_evidence")
    assert (await scored([HEIGHT], {HEIGHT.text: refused}))["paraphrases_that_could_hit"] == 0


def test_questions_come_from_both_files(tmp_path) -> None:  # type: ignore[no-untyped-def]  # pytest's
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "A?", "answers": ["The 5"]}\n{"_id": "q2", "text": "B?"}\n'
    )
    (tmp_path / "questions-more.jsonl").write_text('{"_id": "q3", "text": "C?", "paragraph": "p9", "answers": ["x"]}\n')
    (tmp_path / "qrels.test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\n")
    gold = read_gold(tmp_path)
    assert [(one.text, one.document, set(one.answers)) for one in gold] == [("A?", "p1", {"5"}), ("C?", "p9", {"x"})]
    asked = wordings_of(gold, 2, seed=1)
    assert sorted(wording.question for wording in asked) == [0, 0, 0, 1, 1, 1]
    assert asked == wordings_of(gold, 2, seed=1)


def test_generated_pairs_are_new_each_time_and_reproducible() -> None:
    assert adversarial_pairs(300, 1) == adversarial_pairs(300, 1)
    assert adversarial_pairs(300, 1) != adversarial_pairs(300, 2)
    assert len(set(adversarial_pairs(300, 1))) == 300
    scores = score_generated(3, n_pairs=400)
    assert scores.adversarial == 400
    assert scores.adversarial_served <= 2
