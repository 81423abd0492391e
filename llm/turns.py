"""Prompts for wires that keep the instructions apart and want the two speakers in turn."""

from itertools import groupby

from rag.base.types import Prompt, Turn


def instructions_and_turns(prompt: Prompt) -> tuple[str, list[Turn]]:
    """The system messages as one text, wherever they stood, and the conversation.

    Nothing is said twice in a row by the same speaker and nothing is empty, which Bedrock and Anthropic refuse:
    neighbouring messages of one speaker become one, and those of white space alone are left out.
    """
    said = [turn for turn in prompt.messages if turn.content.strip()]
    instructions = _joined([turn for turn in said if turn.role == "system"])
    conversation = [turn for turn in said if turn.role != "system"]
    by_speaker = groupby(conversation, key=lambda turn: turn.role)
    return instructions, [Turn(role=role, content=_joined(list(turns))) for role, turns in by_speaker]


def _joined(turns: list[Turn]) -> str:
    return "\n\n".join(turn.content for turn in turns)
