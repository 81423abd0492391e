"""OpenInference's switches for texts in spans: who sets them in the environment wants less than `tracing.content`."""

from collections.abc import Mapping
from typing import Final

from rag.telemetry.spans import Attributes

PLACEHOLDER: Final = "__REDACTED__"

_INPUT_MESSAGES: Final = ("llm.input_messages.", "gen_ai.input.messages", "llm.prompt_template.variables")
_OUTPUT_MESSAGES: Final = ("llm.output_messages.", "gen_ai.output.messages")
_HIDES: Final = {
    "INPUTS": ("input.value", "gen_ai.retrieval.query.text", "reranker.query", *_INPUT_MESSAGES),
    "OUTPUTS": ("output.value", *_OUTPUT_MESSAGES),
    "INPUT_MESSAGES": _INPUT_MESSAGES,
    "OUTPUT_MESSAGES": _OUTPUT_MESSAGES,
    "INPUT_TEXT": ("input.value", *_INPUT_MESSAGES),
    "OUTPUT_TEXT": ("output.value", *_OUTPUT_MESSAGES),
    "EMBEDDINGS_TEXT": ("embedding.embeddings.",),
}
"""What `OPENINFERENCE_HIDE_*` hides: the beginnings of names of attributes."""

_STAYS: Final = (".role",)


def hidden_by(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The beginnings of names that are to be hidden."""
    on = (names for switch, names in _HIDES.items() if _is_on(environment.get(f"OPENINFERENCE_HIDE_{switch}", "")))
    return tuple(name for names in on for name in names)


def hiding(attributes: Attributes, hidden: tuple[str, ...]) -> Attributes:
    """The same with a placeholder for what is hidden; who said a message stays."""
    return {
        name: PLACEHOLDER if name.startswith(hidden) and not name.endswith(_STAYS) else value
        for name, value in attributes.items()
    }


def _is_on(value: str) -> bool:
    return value.strip().lower() in {"1", "true"}
