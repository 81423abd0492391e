"""A follow-up made into a question that stands alone, as far as words go."""

import re
from collections.abc import Sequence

from rag.base.types import Turn

_REFERS_BACK = re.compile(
    r"^\s*(?:and|but|so|or|what about|how about|why|then)\b"
    r"|\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|one|ones|same)\b",
    re.IGNORECASE,
)
SHORT_WORDS = 4
"""A follow-up of fewer words rarely names its subject."""
MAX_SUBJECT_CHARS = 400
"""Of the previous question: an embedder reads the first 256 tokens or so, and the follow-up must be among them."""


def standalone(question: str, history: Sequence[Turn]) -> str:
    """The question to search for: with the previous question before it where it refers back to one.

    No model is asked: the retriever only needs the words of the subject. Without history, or where the question names
    its own subject, it is returned as it is.
    """
    asked = [turn.content for turn in history if turn.role == "user"]
    if not asked or not (_REFERS_BACK.search(question) or len(question.split()) < SHORT_WORDS):
        return question
    return f"{asked[-1][:MAX_SUBJECT_CHARS]}\n{question}"
