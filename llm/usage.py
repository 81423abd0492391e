"""What an answer is taken to have cost where its provider does not say."""

from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.types import TextDelta


def estimated_tokens(delta: TextDelta | ReasoningDelta | ToolCallDelta) -> int:
    """About how many tokens an event has: a token is some four bytes of UTF-8."""
    text = delta.arguments if isinstance(delta, ToolCallDelta) else delta.text
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)
