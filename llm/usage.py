"""What a prompt and its answer are taken to cost where nobody has counted."""

from collections.abc import Sequence

from rag.base.chat import Options, ReasoningDelta, ToolCallDelta
from rag.base.types import TextDelta, Turn

CHARS_PER_TOKEN = 4
_TOKENS_PER_TURN = 4
_TOKENS_PER_IMAGE = 800


def prompt_tokens(turns: Sequence[Turn], options: Options) -> int:
    """About how many tokens a model reads: English has some four characters to one."""
    n_chars = sum(len(turn.content) for turn in turns)
    n_chars += sum(len(call.arguments) + len(call.name) for turn in turns for call in turn.tool_calls)
    n_chars += sum(len(tool.schema) + len(tool.description) for tool in options.tools)
    n_images = sum(len(turn.images) for turn in turns)
    return n_chars // CHARS_PER_TOKEN + _TOKENS_PER_TURN * len(turns) + _TOKENS_PER_IMAGE * n_images


def estimated_tokens(delta: TextDelta | ReasoningDelta | ToolCallDelta) -> int:
    """About how many tokens an event has."""
    return n_tokens_of([delta.arguments if isinstance(delta, ToolCallDelta) else delta.text])


def n_tokens_of(pieces: Sequence[str]) -> int:
    """About how many tokens pieces of an answer have: one is some four bytes of UTF-8, and of one piece."""
    sizes = [len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in pieces]
    return sum([-(-n_bytes // 4) for n_bytes in sizes])
