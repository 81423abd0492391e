"""What a route makes of a prompt before anybody is asked: what its caller left open, and how much of the past. Pure."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from llm.usage import prompt_tokens
from rag.base.chat import PLAIN
from rag.base.types import Prompt

Penalty = Annotated[float, Meta(ge=-2, le=2)]


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds where the caller says nothing; `history_tokens` and `context_tokens` hold for all.

    For answers from the documents, what is not said here is said by `[answer]`.
    """

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    history_tokens: Annotated[int, Meta(ge=0)] | None = None
    """How much is sent of what was said before the last question; older turns are left out."""
    context_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Of answers from the documents: the budget of the passages."""


NO_PARAMETERS = Parameters()

_OF_OPTIONS = ("top_p", "presence_penalty", "frequency_penalty")


def completed(prompt: Prompt, parameters: Parameters) -> Prompt:
    """The prompt with the parameters that it leaves open."""
    options = prompt.options
    open_ones = {name: getattr(parameters, name) for name in _OF_OPTIONS if getattr(options, name) is None}
    wished = {name: value for name, value in open_ones.items() if value is not None}
    return replace(
        prompt,
        max_tokens=parameters.max_tokens if prompt.max_tokens is None else prompt.max_tokens,
        temperature=parameters.temperature if prompt.temperature is None else prompt.temperature,
        options=replace(options, **wished) if wished else options,
    )


def shortened(prompt: Prompt, history_tokens: int) -> Prompt:
    """The prompt without the oldest of what was said before its last question, as far as the rest is too long.

    What is left begins with a user's turn, so that no result stands without its call; what the system says stays. The
    same prompt if nothing has to go.
    """
    turns = prompt.messages
    question_at = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=0)
    first_kept, n_tokens = question_at, 0
    for at in range(question_at - 1, -1, -1):
        turn = turns[at]
        n_tokens += 0 if turn.role == "system" else prompt_tokens((turn,), PLAIN)
        if n_tokens > history_tokens:
            break
        if turn.role == "user" or at == 0:
            first_kept = at
    left_out = [turn for turn in turns[:first_kept] if turn.role != "system"]
    if not left_out:
        return prompt
    kept = (*(turn for turn in turns[:first_kept] if turn.role == "system"), *turns[first_kept:])
    return replace(prompt, messages=kept, n_tokens=max(0, prompt.n_tokens - prompt_tokens(left_out, PLAIN)))
