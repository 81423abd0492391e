"""Questions that no person asked: chat programs have titles and tags made from a conversation by the same model.

Searching documents for "generate a title" is wasted, and its answer would cite them. The programs say so in prompts of
a fixed shape, which is all that is recognised: a person's question that merely speaks of titles is searched for.
"""

from rag.base.types import Prompt

_OPEN_WEBUI = "### Task:\n"  # its templates for titles, tags, follow-ups, search queries and completions
_OPEN_WEBUI_HOLDS = ("<chat_history>", "### Chat History:")
_LIBRECHAT = (
    "Provide a concise, 5-word-or-less title for the conversation",
    "Please generate a concise, 5-word-or-less title",
    "Detect user language and write in the same language an extremely concise title for this conversation",
    "Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A concise title",
)


def is_task(prompt: Prompt) -> bool:
    """Whether a chat program, not a person, wrote the question."""
    asked = prompt.question.lstrip()
    if asked.startswith(_OPEN_WEBUI):
        return any(holds in asked for holds in _OPEN_WEBUI_HOLDS)
    openings = [turn.content for turn in prompt.messages[:1] if turn.role == "system"]
    return any(text.startswith(_LIBRECHAT) for text in [asked, *openings])
