"""The opaque cursors of listings: where to go on, in a form that is recognised when it comes back."""

import re
from typing import Final

from rag.base.errors import InvalidInput
from rag.base.ids import digest

_CHECK_LENGTH: Final = 8
_IDENTIFIER: Final = re.compile(r"[0-9a-f]{32}")


def cursor_at(identifier: str) -> str:
    """The cursor that goes on at the document with that id (32 hex digits), or at the next one if it is gone."""
    return _check(identifier) + identifier


def read_cursor(cursor: str) -> str:
    """The id that `cursor_at` was given. Raises InvalidInput for anything else.

    The check finds mistakes; it is no secret: a forged cursor shows nothing that its caller may not list anyway.
    """
    check, identifier = cursor[:_CHECK_LENGTH], cursor[_CHECK_LENGTH:]
    if not _IDENTIFIER.fullmatch(identifier) or check != _check(identifier):
        raise InvalidInput("not a cursor of this listing; leave it out to start from the beginning", pointer="/cursor")
    return identifier


def _check(identifier: str) -> str:
    return digest("cursor", identifier)[:_CHECK_LENGTH]
