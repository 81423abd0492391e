"""Tool calls among the content blocks of an answer, as Anthropic and Bedrock stream them."""

from llm.turns import new_call_id
from rag.base.chat import ToolCallDelta

Calls = tuple[ToolCallDelta, ...]


class CallBlocks:
    """Numbers the calls: a block has a number among all blocks, a call one among the calls. `len` is how many."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._bare: set[int] = set()  # the blocks whose arguments have not begun

    def __len__(self) -> int:
        return len(self._numbers)

    def opened(self, block: int, call_id: str | None, name: str | None) -> Calls:
        """A block that is a call begins."""
        self._numbers[block] = len(self._numbers)
        self._bare.add(block)
        return (ToolCallDelta(index=self._numbers[block], id=call_id or new_call_id(), name=name or ""),)

    def grown(self, block: int, arguments: str | None) -> Calls:
        """A piece of the arguments arrives; none for a block that is no call."""
        if not arguments or block not in self._numbers:
            return ()
        self._bare.discard(block)
        return (ToolCallDelta(index=self._numbers[block], arguments=arguments),)

    def closed(self, block: int) -> Calls:
        """A block ends: a tool without parameters is called with an empty object, not with nothing."""
        if block not in self._bare:
            return ()
        self._bare.discard(block)
        return (ToolCallDelta(index=self._numbers[block], arguments="{}"),)
