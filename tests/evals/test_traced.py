"""What is thought of an answer is a trace of its own with exactly one link: to the span that asked."""

from rag.evals.traced import TracedEvaluation
from rag.telemetry.config import TracingConfig
from rag.telemetry.finished import FinishedTrace
from rag.telemetry.tracing import Tracing, off
from rag.telemetry.w3c import HEADER


def test_a_verdict_is_linked_to_its_question() -> None:
    kept: list[FinishedTrace] = []
    evaluation = TracedEvaluation("holds_gold", Tracing(TracingConfig(), str, kept.append))
    with evaluation.question() as headers:
        pass
    evaluation.judged(headers, 1.0, "held")
    question, verdict = (trace.spans[0] for trace in kept)
    assert headers[HEADER].split("-")[1:3] == [question.trace_id, question.span_id]
    assert verdict.links == ((question.trace_id, question.span_id),)
    assert verdict.name == "eval holds_gold"
    assert verdict.attributes["openinference.span.kind"] == "EVALUATOR"
    assert verdict.attributes["gen_ai.evaluation.name"] == "holds_gold"
    assert verdict.attributes["gen_ai.evaluation.score.value"] == 1.0
    assert verdict.attributes["gen_ai.evaluation.score.label"] == "held"


def test_the_verdict_on_a_question_that_was_not_sampled_is_not_kept_either() -> None:
    kept: list[FinishedTrace] = []
    evaluation = TracedEvaluation("holds_gold", Tracing(TracingConfig(sample=0.0), str, kept.append))
    with evaluation.question() as headers:
        pass
    evaluation.judged(headers, 0.0, "missing")
    assert kept == []


def test_with_tracing_off_questions_are_asked_as_ever() -> None:
    evaluation = TracedEvaluation("holds_gold", off())
    with evaluation.question() as headers:
        assert headers == {}
    evaluation.judged(headers, 1.0, "held")
