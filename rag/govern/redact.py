"""Takes personal data and credentials out of a text: rules for what has a structure, checked where it can be.

Numbers that carry a check digit are only taken for what they seem if it is right, so that order numbers stay. Names and
addresses have no structure: for those give `redactor` a finder of your own, such as Presidio's analyzer.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from ipaddress import ip_address
from typing import Annotated

from msgspec import Meta, Struct

from rag.base.errors import ConfigError
from rag.govern import checksums

Check = Callable[[str], bool]
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


class Rule(Struct, frozen=True):
    """What looks like `pattern` and passes `check` is of this kind.

    Only texts with so many digits, and with one of `marks` (in small letters) if there are any, are searched: most
    texts hold nothing, and all rules together would take 0.2 ms for 500 characters.
    """

    kind: str
    pattern: re.Pattern[str]
    check: Check = lambda _: True
    marks: tuple[str, ...] = ()
    n_digits: int = 0

    def may_match(self, small: str, n_digits: int) -> bool:
        """Whether to search a text of that many digits; `small` is the text in small letters."""
        return n_digits >= self.n_digits and (not self.marks or any(mark in small for mark in self.marks))


def _number(kind: str, pattern: str, check: Check = lambda _: True, *, n_digits: int) -> Rule:
    return Rule(kind, re.compile(pattern), check, n_digits=n_digits)


def _marked(kind: str, pattern: str, *marks: str, flags: int = 0, check: Check = lambda _: True) -> Rule:
    return Rule(kind, re.compile(pattern, flags), check, marks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_VALUE = r"[^\s\"',;]{4,}"
RULES: Sequence[Rule] = (
    _marked(
        "SECRET", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", "private key"
    ),
    _marked("SECRET", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", "eyj"),  # a JSON web token
    _marked(
        "SECRET", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}", "akia", "asia", "aiza", "ya29"
    ),
    _marked("SECRET", r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[\w-]{16,}", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_"),
    _marked("SECRET", r"\bgw_[a-z0-9]{4,32}_[\w-]{20,}|\bglpat-[\w-]{16,}|\bhf_\w{20,}", "gw_", "glpat-", "hf_"),
    _marked(
        "SECRET", r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"
    ),
    _marked("SECRET", r"\bxox[abeprs]-[\w-]{10,}", "xox"),
    _marked("SECRET", rf"(?<=[Bb]earer ){_VALUE}", "bearer "),
    _marked("SECRET", r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)", "://"),
    _marked(
        "SECRET",
        r"\b(?:password|passwd|pwd|passphrase|secret|api[_ -]?key|access[_ -]?token|client[_ -]?secret)\b"
        rf"[\"']?\s*(?:is|=|:)\s*[\"']?{_VALUE}",
        *("pass", "pwd", "secret", "key", "token"),
        flags=re.IGNORECASE,
    ),
    _marked("EMAIL", r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+", "@"),
    _number("IBAN", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", checksums.is_iban, n_digits=8),
    _number("CARD", r"(?<![\w.])(?:[2-6]\d|18)\d\d(?:[ -]?\d){9,15}(?![\w])", checksums.is_card, n_digits=13),
    _number("IP_ADDRESS", r"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", _is_address, n_digits=4),
    _marked("IP_ADDRESS", r"(?<![\w.:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", ":", check=_is_address),
    # United States: social security, and the numbers of those who have none
    _number("NATIONAL_ID", r"(?<![\w-])(?!000|666)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}(?![\w-])", n_digits=9),
    # United Kingdom: national insurance, health service
    _number("NATIONAL_ID", r"(?<![\w-])[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D](?![\w-])", n_digits=6),
    _number("NATIONAL_ID", r"(?<![\w-])\d{3} ?\d{3} ?\d{4}(?![\w-])", checksums.is_nhs, n_digits=10),
    _number("NATIONAL_ID", r"(?<![\w-])[XYZ\d]\d{7}-?[A-Z](?![\w-])", checksums.is_spanish, n_digits=7),
    _number(
        "NATIONAL_ID", r"(?<![\w-])[A-Z]{6}\d\d[A-T]\d\d[A-Z]\d{3}[A-Z](?![\w-])", checksums.is_italian, n_digits=7
    ),
    _number(
        "NATIONAL_ID",
        r"(?<![\w-])[12] ?\d\d ?[01]\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d(?![\w-])",
        checksums.is_french,
        n_digits=14,
    ),
    _number(
        "NATIONAL_ID",
        r"(?<![\w-])(?:\d{3}\.\d{3}\.\d{3}-\d\d|\d{11})(?![\w-])",
        checksums.is_brazilian,
        n_digits=11,
    ),
    _number(
        "NATIONAL_ID",
        r"(?<![\w-])\d\d ?\d{3} ?\d{3} ?\d{3}(?![\w-])",
        lambda text: checksums.is_german(text) or checksums.is_polish(text),
        n_digits=11,
    ),
    _number("NATIONAL_ID", r"(?<![\w-])(?:\d\d)?\d{6}[-+]\d{4}(?![\w-])", checksums.is_swedish, n_digits=10),
    _number("NATIONAL_ID", r"(?<![\w-])[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}(?![\w-])", checksums.is_indian, n_digits=12),
    _number("NATIONAL_ID", r"(?<![\w-])\d{3}[ -]\d{3}[ -]\d{3}(?![\w-])", checksums.luhn, n_digits=9),  # Canada
    _number(
        "PHONE",
        r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?![\w])",
        checksums.is_phone,
        n_digits=8,
    ),
    _number(  # North America, with an extension
        "PHONE",
        r"(?<![\w.-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,6})?(?![\w-])",
        n_digits=10,
    ),
    _number(
        "PHONE",
        r"(?<![\w.-])(?!\d\d[./-]\d\d[./-]\d{4})\(?0[1-9]\d{0,4}\)?(?:(?:[ .-]| ?/ ?)?\d{2,8}){1,5}(?![\w-])",
        checksums.is_phone,
        n_digits=8,
    ),
    _marked(  # a number that is called one
        "PHONE",
        r"\b(?:tel|telephone|phone|mobile|cell|fax|whatsapp)\b\.?\s*(?:no\.?|number)?\s*(?:is|:)?\s*"
        r"\+?\d(?:[ ./()-]{0,2}\d){6,14}",
        *("tel", "phone", "mobile", "cell", "fax", "whatsapp"),
        flags=re.IGNORECASE,
    ),
)


def find(text: str) -> list[Found]:
    """What the rules find, by place; of what overlaps, the first rule in their order."""
    taken: list[Found] = []
    small, n_digits = text.lower(), sum(map(text.count, "0123456789"))
    for rule in RULES:
        if not rule.may_match(small, n_digits):
            continue
        for match in rule.pattern.finditer(text):
            start, stop = match.span()
            if rule.check(match[0]) and not any(start < other.stop and other.start < stop for other in taken):
                taken.append(Found(start, stop, rule.kind))
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
