"""Takes personal data and credentials out of a text: rules for what has a structure, checked where it can be.

Numbers that carry a check digit are only taken for what they seem if it is right, so that order numbers stay. Names and
addresses have no structure: for those give `redactor` a finder of your own, such as Presidio's analyzer.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from msgspec import Struct

from rag.govern import checksums

Check = Callable[[str], bool]
Redact = Callable[[str], str]


class Found(Struct, frozen=True, order=True):
    """A place in a text, in characters, and what stands there."""

    start: int
    stop: int
    kind: str


Finder = Callable[[str], Iterable[Found]]
"""Finds what is not for everyone's eyes. Called for every text that is kept; must be safe to call from threads."""


class Rule(Struct, frozen=True):
    """What looks like `pattern` and passes `check` is of this kind."""

    kind: str
    pattern: re.Pattern[str]
    check: Check = lambda _: True


def _rule(kind: str, pattern: str, check: Check = lambda _: True, flags: int = 0) -> Rule:
    return Rule(kind, re.compile(pattern, flags), check)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_VALUE = r"[^\s\"',;]{4,}"
RULES: Sequence[Rule] = (
    _rule("SECRET", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    _rule("SECRET", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"),  # a JSON web token
    _rule("SECRET", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}"),
    _rule("SECRET", r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[\w-]{16,}|\bgw_[a-z0-9]{4,32}_[\w-]{20,}"),
    _rule(
        "SECRET", r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bhf_\w{20,}|\bxox[abeprs]-[\w-]{10,}"
    ),
    _rule("SECRET", rf"(?<=[Bb]earer ){_VALUE}|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"),
    _rule(
        "SECRET",
        r"\b(?:password|passwd|pwd|passphrase|secret|api[_ -]?key|access[_ -]?token|client[_ -]?secret)\b"
        rf"[\"']?\s*(?:is|=|:)\s*[\"']?{_VALUE}",
        flags=re.IGNORECASE,
    ),
    _rule("EMAIL", r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+"),
    _rule("IBAN", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", checksums.is_iban),
    _rule("CARD", r"(?<![\w.])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w])", checksums.is_card),
    _rule("IP_ADDRESS", r"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", _is_address),
    _rule("IP_ADDRESS", r"(?<![\w.:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", _is_address),
    _rule("NATIONAL_ID", r"(?<![\w-])(?!000|666|9)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}(?![\w-])"),  # US social security
    _rule(
        "NATIONAL_ID", r"(?<![\w-])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?![\w-])"
    ),  # UK national insurance
    _rule("NATIONAL_ID", r"(?<![\w-])[XYZ\d]\d{7}-?[A-Z](?![\w-])", checksums.is_spanish),
    _rule("NATIONAL_ID", r"(?<![\w-])[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?![\w-])", checksums.is_italian),
    _rule("NATIONAL_ID", r"(?<![\w-])[12] ?\d\d ?[01]\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d(?![\w-])", checksums.is_french),
    _rule(
        "NATIONAL_ID", r"(?<![\w-])\d{3}\.\d{3}\.\d{3}-\d\d(?![\w-])|(?<![\w-])\d{11}(?![\w-])", checksums.is_brazilian
    ),
    _rule(
        "NATIONAL_ID",
        r"(?<![\w-])\d\d ?\d{3} ?\d{3} ?\d{3}(?![\w-])",
        lambda text: checksums.is_german(text) or checksums.is_polish(text),
    ),
    _rule("NATIONAL_ID", r"(?<![\w-])(?:\d\d)?\d{6}[-+]\d{4}(?![\w-])", checksums.is_swedish),
    _rule("NATIONAL_ID", r"(?<![\w-])[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}(?![\w-])", checksums.is_indian),
    _rule("NATIONAL_ID", r"(?<![\w-])\d{3}[ -]\d{3}[ -]\d{3}(?![\w-])", checksums.luhn),  # Canadian social insurance
    _rule("NATIONAL_ID", r"(?<![\w-])\d{3} ?\d{3} ?\d{4}(?![\w-])", checksums.is_nhs),  # UK health service
    _rule("PHONE", r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?![\w])", checksums.is_phone),
    _rule("PHONE", r"(?<![\w.-])\(?[2-9]\d{2}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])"),  # North America
    _rule(
        "PHONE",
        r"(?<![\w.-])(?!\d\d[./-]\d\d[./-]\d{4})\(?0[1-9]\d{0,4}\)?(?:(?:[ .-]| ?/ ?)?\d{2,8}){1,5}(?![\w-])",
        checksums.is_phone,
    ),
)


def find(text: str) -> list[Found]:
    """What the rules find, by place; of what overlaps, the first rule in their order."""
    taken: list[Found] = []
    for rule in RULES:
        for match in rule.pattern.finditer(text):
            start, stop = match.span()
            if rule.check(match[0]) and not any(start < other.stop and other.start < stop for other in taken):
                taken.append(Found(start, stop, rule.kind))
    return sorted(taken)


def redactor(finders: Sequence[Finder] = ()) -> Redact:
    """A function that puts `[KIND]` in the place of what the rules and the further finders find."""

    def redact(text: str) -> str:
        found = sorted([*find(text), *(one for finder in finders for one in finder(text))])
        pieces, at = [], 0
        for one in found:
            if one.start >= at:
                pieces += [text[at : one.start], f"[{one.kind}]"]
            at = max(at, one.stop)
        return "".join([*pieces, text[at:]])

    return redact
