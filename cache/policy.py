"""Which answers may be kept, for how long, and what a caller may ask of the memory. Pure."""

import re
from typing import Final

from cache.config import MemoryConfig
from rag.base.answers import Answer
from rag.base.types import Query

_TIME_WORDS: Final = re.compile(
    r"\b(?:now|today|tonight|tomorrow|yesterday|current(?:ly)?|latest|newest|recent(?:ly)?|upcoming|nowadays|presently"
    r"|at the moment|so far|as of|(?:this|next|last|past) (?:hour|day|week|weekend|month|quarter|year|season)"
    r"|(?:right|just) now|how long ago|still|yet|anymore"
    r"|heute|jetzt|gestern|morgen|aktuell\w*|derzeit|aujourd'hui|maintenant|actuel\w*|hoy|ahora|actual\w*)\b",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+\b")
_SOCIAL_SECURITY: Final = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_PHONE: Final = re.compile(
    r"(?<![\w.])(?<!\d[ .-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?|\d{2,4}[ .-])\d{3,4}[ .-]\d{3,4}(?!\w)(?![ .-]\d)"
)
_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")

PERSONAL: Final = "personal"
"""The metadata field that marks a document as personal: what was written from it is not kept."""


def unfit(query: Query, answer: Answer, config: MemoryConfig) -> str | None:
    """Why the answer may not be kept, or None: "degraded", "truncated", "refused" or "personal"."""
    if answer.degraded:
        return "degraded"
    if answer.stop_reason == "insufficient_evidence":
        return "refused"
    if answer.stop_reason != "stop":
        return "truncated"
    if not config.keep_personal and (is_personal(query.text) or is_personal(answer.text) or _from_personal(answer)):
        return "personal"
    return None


def ttl_s(query: Query, config: MemoryConfig, model: str) -> float:
    """How long an answer to the query is good: less where the question is about the present."""
    by_model = config.model_ttl_s.get(model, config.ttl_s)
    return min(by_model, config.time_words_ttl_s) if is_of_the_present(query.text) else by_model


def is_of_the_present(text: str) -> bool:
    """Whether the text has words whose meaning moves with the clock."""
    return _TIME_WORDS.search(text) is not None


def reads(query: Query) -> bool:
    """Whether a kept answer will do."""
    return query.cache in ("use", "read")


def writes(query: Query) -> bool:
    """Whether the answer may be kept."""
    return query.cache in ("use", "write", "refresh")


def is_personal(text: str) -> bool:
    """Whether the text holds an address, telephone, card, bank or social security number.

    Rules: they miss names and whatever is written unusually. Card and bank numbers must pass their check digits.
    """
    if _EMAIL.search(text) or _SOCIAL_SECURITY.search(text) or _PHONE.search(text):
        return True
    return any(_is_card(match.group()) for match in _CARD.finditer(text)) or any(
        _is_iban(match.group()) for match in _IBAN.finditer(text)
    )


def _from_personal(answer: Answer) -> bool:
    candidates = (candidate for source in answer.sources for candidate in source.candidates)
    return any(candidate.passage.metadata.get(PERSONAL) is True for candidate in candidates)


def _is_card(number: str) -> bool:
    """Luhn's sum."""
    digits = [int(digit) for digit in number if digit.isdigit()][::-1]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(number: str) -> bool:
    """The remainder of ISO 13616."""
    packed = number.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in packed[4:] + packed[:4])) % 97 == 1
