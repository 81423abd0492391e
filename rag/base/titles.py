"""What a passage is called: models read it with the title of its document and its headings in front."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

PREFIX_CHARS = 160
"""What title and headings may take; with 200 tokens of text that stays within the 256 of a MiniLM."""

_SCHEME = re.compile("[a-z][a-z0-9+.-]*://")


def name_of(uri: str) -> str:
    """What a document is called that has no title: the last part of the path in its uri."""
    parts = urlsplit(uri) if _SCHEME.match(uri) else None
    path = unquote(parts.path if parts else uri)
    return PurePosixPath(path).name or uri


def headed(text: str, uri: str, title: str, headings: Sequence[str]) -> str:
    """The text below one line with the title that its document gives itself and its headings, where there are any."""
    own = [] if title == name_of(uri) else [title]
    places = [*own, *(heading for heading in headings if heading not in own)]
    return f"{' > '.join(places)[:PREFIX_CHARS]}\n{text}" if places else text
