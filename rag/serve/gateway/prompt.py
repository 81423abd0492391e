"""A prompt from what a caller of a model said, whatever API it came through."""

from collections.abc import Sequence

from msgspec import Raw

from llm.usage import prompt_tokens
from rag.base.chat import JsonText, Options
from rag.base.errors import InvalidInput
from rag.base.types import Principal, Prompt, Turn

TEMPLATE = "caller"
"""What stands in the place of a template's name: the words are all the caller's own."""

MAX_TOKENS = 10_000_000
"""More than any model writes; what a call could cost must fit into a ledger."""


def plain_prompt(
    principal: Principal, turns: Sequence[Turn], max_tokens: int | None, temperature: float | None, options: Options
) -> Prompt:
    """The prompt. `n_tokens` is an estimate, for providers that do not count. Raises InvalidInput for a bad number."""
    if max_tokens is not None and not 1 <= max_tokens <= MAX_TOKENS:
        raise InvalidInput(f"max_tokens must be 1 to {MAX_TOKENS}", pointer="/max_tokens")
    if temperature is not None and not 0 <= temperature <= 2:
        raise InvalidInput(f"temperature is {temperature}; it must be 0 to 2", pointer="/temperature")
    return Prompt(
        tenant=principal.tenant,
        key_id=principal.key_id,
        messages=tuple(turns),
        template=TEMPLATE,
        n_tokens=prompt_tokens(turns, options),
        question=next((turn.content for turn in reversed(turns) if turn.role == "user"), ""),
        sources=(),
        max_tokens=max_tokens,
        temperature=temperature,
        options=options,
    )


def is_given(value: Raw) -> bool:
    """Whether the caller gave it: nothing is empty, and null is the same as nothing."""
    return bytes(value) not in (b"", b"null")


def schema_text(schema: Raw, pointer: str) -> JsonText:
    """A JSON schema as it was written. Raises InvalidInput when it is missing or no object."""
    text = bytes(schema).strip()
    if not text.startswith(b"{"):
        raise InvalidInput("a JSON schema is needed here, which is an object", pointer=pointer)
    return text
