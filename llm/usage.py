"""What an answer is taken to have cost where its provider does not say."""

from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.types import TextDelta


def estimated_tokens(delta: TextDelta | ReasoningDelta | ToolCallDelta) -> int:
    """About how many tokens an event has."""
    return n_tokens_of(delta.arguments if isinstance(delta, ToolCallDelta) else delta.text)


def n_tokens_of(text: str) -> int:
    """About how many tokens a piece of an answer has: one is some four bytes of UTF-8."""
    n_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-n_bytes // 4)
