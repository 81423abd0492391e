"""Prompts for wires that keep the instructions apart from the conversation."""

from rag.base.types import Prompt, Turn


def instructions_and_turns(prompt: Prompt) -> tuple[str, list[Turn]]:
    """The system messages as one text, wherever they stood, and the other messages in order."""
    instructions = "\n\n".join(turn.content for turn in prompt.messages if turn.role == "system")
    return instructions, [turn for turn in prompt.messages if turn.role != "system"]
