"""OpenInference's switches leave out the texts that they name, and nothing else."""

import pytest

from rag.telemetry.finished import FinishedTrace, finished
from rag.telemetry.hiding import PLACEHOLDER, hidden_by
from rag.telemetry.spans import Tracer

TEXTS = {
    "input.value": "in",
    "output.value": "out",
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "in",
    "llm.output_messages.0.message.content": "out",
    "gen_ai.input.messages": "in",
    "gen_ai.output.messages": "out",
    "embedding.embeddings.0.embedding.text": "in",
    "llm.model_name": "model",
}


@pytest.mark.parametrize(
    ("switch", "n_hidden"),
    [("INPUTS", 3), ("OUTPUTS", 3), ("INPUT_MESSAGES", 2), ("OUTPUT_MESSAGES", 2), ("EMBEDDINGS_TEXT", 1)],
)
def test_a_switch_hides_what_it_names(switch: str, n_hidden: int) -> None:
    hidden = hidden_by({f"OPENINFERENCE_HIDE_{switch}": "true"})
    told: list[FinishedTrace] = []
    tracer = Tracer(lambda trace: told.append(finished(trace, str, hidden)))
    with tracer.request("root", "server") as span:
        span.describe = lambda _: TEXTS
    attributes = told[0].spans[0].attributes
    assert sum(value == PLACEHOLDER for value in attributes.values()) == n_hidden
    assert {name for name, value in attributes.items() if value != TEXTS[name]} == {
        name for name, value in attributes.items() if value == PLACEHOLDER
    }
    assert (attributes["llm.model_name"], attributes["llm.input_messages.0.message.role"]) == ("model", "user")


def test_what_is_not_switched_on_hides_nothing() -> None:
    assert hidden_by({"OPENINFERENCE_HIDE_INPUTS": "false", "OPENINFERENCE_HIDE_OUTPUTS": ""}) == ()
