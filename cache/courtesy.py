"""Ways of opening and closing a question that change nothing about what is asked. English."""

from typing import Final


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for line in text.splitlines() for phrase in line.split("/"))


_PLEASE: Final = ("please", "kindly", "pls")
_TELLING: Final = _phrases(
    """tell me/explain/explain to me/describe/let me know/inform me/say/help me understand/remind me/clarify/find out
    share/help me find out/mind telling me"""
)
_WISHES: Final = _phrases(
    """want to know/want to find out/want to understand/would like to know/would like to find out/would love to know
    would like to understand/need to know/need to find out/wonder/am wondering/was wondering/am curious/am curious about
    am trying to find out/am looking for/am asking"""
)
_THANKS: Final = _phrases("thanks/thank you/thanks in advance/thank you in advance/many thanks/thx/cheers")
OPENINGS: Final = (
    *(f"{modal} you {verb}" for modal in ("can", "could", "would", "will") for verb in _TELLING),
    *(f"{modal} you {word} {verb}" for modal in ("can", "could", "would") for word in _PLEASE for verb in _TELLING),
    *(f"{subject} {verb}" for subject in ("i", "we") for verb in _WISHES),
    *_PLEASE,
    *_THANKS,
    *_phrases(
        """do you know/do you happen to know/does anyone know/does anybody know/any idea/any ideas/any clue/may i ask
        can i ask/may i know/can i know/quick question/i have a question/my question is/hi/hi there/hello/hello there
        hey/ok/okay/tell me/let me know/explain/explain to me/describe/remind me/help me understand/just wondering
        just curious/out of curiosity/if possible"""
    ),
)
CLOSINGS: Final = (
    *_PLEASE,
    *_THANKS,
    *_phrases("if possible/if you know/if you can/exactly/out of curiosity/for me please"),
)
JOINTS: Final = frozenset({"if", "whether", "about", "that"})
"""Words that may join an opening and the question."""
