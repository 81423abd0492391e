"""Text of others, made fit for a terminal."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """The text without what drives a terminal: a document could otherwise move the cursor or write the clipboard."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The same with one space for every run of white space."""
    return visible(" ".join(text.split()))
