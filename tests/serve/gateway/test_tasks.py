import pytest

from rag.base.chat import PLAIN
from rag.base.types import Principal, Turn
from rag.serve.gateway.prompt import plain_prompt
from rag.serve.gateway.tasks import is_task

TITLE = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Output:
JSON format: { "title": "your concise title here" }
### Chat History:
<chat_history>
USER: How long may a refund take?
</chat_history>"""
TAGS = TITLE.replace("Generate a concise, 3-5 word title with an emoji summarizing", "Generate 1-3 broad tags for")
LIBRECHAT = (
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions.\n\nConversation:\n"
)
STRUCTURED = """Analyze this conversation and provide:
1. The detected language of the conversation
2. A concise title in the detected language (5 words or less, no punctuation or quotation)

User: hi"""


def asked(*texts: str, system: str = ""):
    turns = [Turn(role="system", content=system)] if system else []
    for number, text in enumerate(texts):
        turns.append(Turn(role="assistant" if number % 2 else "user", content=text))
    return plain_prompt(Principal(subject="ann", tenant="acme"), turns, None, None, PLAIN)


@pytest.mark.parametrize("task", [TITLE, TAGS, LIBRECHAT, STRUCTURED, f"\n{TITLE}"])
def test_what_a_chat_program_asks_for_itself_is_known(task):
    assert is_task(asked(task))


def test_a_task_may_be_the_instructions():
    assert is_task(asked("User: hi\nAI: hello", system=LIBRECHAT))


@pytest.mark.parametrize(
    "question",
    [
        "Generate a concise title for our refund policy.",
        "### Task:\nRespond to the user query using the provided context.\n<context>\n...</context>\nHow long?",
        "Which conversation has the title 'Refunds'?",
        "What does 'Provide a concise, 5-word-or-less title for the conversation' mean?",
        "",
    ],
)
def test_what_a_person_asks_is_searched_for(question):
    assert not is_task(asked(question))


def test_a_task_earlier_in_the_conversation_is_past():
    assert not is_task(asked(TITLE, "Refund Times", "How long may a refund take?"))
