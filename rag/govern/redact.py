"""Takes personal data and credentials out of a text: rules for what has a structure, checked where it can be.

Numbers that carry a check digit are only taken for what they seem if it is right, so that order numbers stay. Names and
addresses have no structure: for those give `redactor` a finder of your own, such as Presidio's analyzer.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Annotated, Final

from msgspec import Meta, Struct

from rag.base.errors import ConfigError
from rag.govern.rules import RULES, most_digits

Redact = Callable[[str], str]


class RedactionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`finders` are functions of your own, `package.module:function`, that find more than the rules do."""

    finders: tuple[Annotated[str, Meta(pattern=r"^[\w.]+:\w+$")], ...] = ()


class Found(Struct, frozen=True, order=True):
    """A place in a text, in characters, and what stands there."""

    start: int
    stop: int
    kind: str


Finder = Callable[[str], Iterable[Found]]
"""Finds what is not for everyone's eyes. Called for every text that is kept; must be safe to call from threads."""


MAX_CHARS: Final = 100_000
MARGIN_CHARS: Final = 200


def find(text: str) -> list[Found]:
    """What the rules find, by place; of what overlaps, the first rule in their order."""
    taken: list[Found] = []
    covered = bytearray(len(text))
    small, n_digits = text.lower(), most_digits(text)
    for rule in RULES:
        if not rule.may_match(small, n_digits):
            continue
        for match in rule.pattern.finditer(text):
            start = match.start()
            stop = rule.fitting(text, *match.span())
            if stop is not None and covered.find(1, start, stop) < 0:
                taken.append(Found(start, stop, rule.kind))
                covered[start:stop] = b"\1" * (stop - start)
    return sorted(taken)


def finder_of(place: str) -> Finder:
    """The function at `package.module:function`. Raises ConfigError."""
    module, _, name = place.partition(":")
    try:
        found: Finder = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"setting $.redaction.finders: there is no {place} ({error}); is its package installed?",
            path="$.redaction.finders",
        ) from error
    return found


def redactor(finders: Sequence[Finder] = ()) -> Redact:
    """A function that puts `[KIND]` in the place of what the rules and the further finders find.

    Of a text over `MAX_CHARS`, which a gateway may be sent, the rest is left out: searching 32 MB would take a minute.
    """

    def redact(text: str) -> str:
        # What is cut in two may not be recognised, so the end of what was read is left out as well.
        return replaced(text) if len(text) <= MAX_CHARS else f"{replaced(text[:MAX_CHARS])[:-MARGIN_CHARS]} [CUT]"

    def replaced(text: str) -> str:
        found = sorted([*find(text), *(one for finder in finders for one in finder(text))])
        pieces, at = [], 0
        for one in found:
            if one.start >= at:
                pieces += [text[at : one.start], f"[{one.kind}]"]
            at = max(at, one.stop)
        return "".join([*pieces, text[at:]])

    return redact
