"""Words in the form in which a question and a sentence are compared."""

import re
from functools import lru_cache

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:[.,'\u2019]\d+)*")
"""A number with its separators is one word; scripts without spaces are taken character by character."""

_ENDINGS = ("ingly", "edly", "ings", "ing", "ies", "ied", "ed", "es", "ly", "s", "e")
_LEAST_STEM = 3

_FUNCTION_WORDS = frozenset(
    # The question's own words for what it asks ("name", "type", "called") tell as little as an article does.
    """a an the of in on at to for from by with and or but nor not no is are was were be been being am do does did done
    has have had having what which who whom whose when where why how that this these those it its he she they them
    their his her him we us our you your i me my as into onto than then so such there here if while during about
    between through over under after before both each any all some most more other only own same too very can could
    will would shall should may might must also just s t name term called many much type kind one""".split()  # noqa: SIM905 - a hundred quoted words are no easier to read
)


def terms(text: str) -> list[str]:
    """The words of a text in order, lower case, without their endings."""
    return [stem(word) for word in _WORD.findall(text.lower())]


def content_terms(question: str) -> tuple[str, ...]:
    """The words of a question that an answer should share, each once; all of them when it has none but small ones."""
    words = _WORD.findall(question.lower())
    telling = [word for word in words if word not in _FUNCTION_WORDS]
    return tuple(dict.fromkeys(stem(word) for word in telling or words))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The word without its English ending: equal for the forms of a word, meaningless to a reader.

    Lighter than Porter's stemmer, and blind to what is not English: an ending falls only where three letters remain.
    """
    if len(word) <= _LEAST_STEM or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            word = word.removesuffix(ending)
            break
    if len(word) > _LEAST_STEM and word[-1] == word[-2]:
        word = word[:-1]
    return word[:-1] if len(word) > _LEAST_STEM and word[-1] in "yi" else word
