"""What personal data and credentials look like."""

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from msgspec import Struct

from rag.govern import checksums, national, phones

Check = Callable[[str], bool]


class Rule(Struct, frozen=True):
    """What looks like `pattern` and passes `check` is of this kind.

    Only texts with so many digits in a row, and with one of `marks` (in small letters) if there are any, are searched:
    most texts hold nothing, and all rules together would take 0.4 ms for 500 characters.
    """

    kind: str
    pattern: re.Pattern[str]
    check: Check = lambda _: True
    marks: tuple[str, ...] = ()
    n_digits: int = 0
    more_may_follow: bool = False
    """Other words and numbers may stand behind it that look like a part of it."""

    def may_match(self, small: str, n_digits: int) -> bool:
        """Whether to search a text of that many digits; `small` is the text in small letters."""
        return n_digits >= self.n_digits and (not self.marks or any(mark in small for mark in self.marks))

    def fitting(self, text: str, start: int, stop: int) -> int | None:
        """Where a match ends that is right: at `stop`, or at a space before it if more may follow."""
        while not self.check(text[start:stop]):
            stop = text.rfind(" ", start, stop) if self.more_may_follow else -1
            if stop < 0 or not self.pattern.fullmatch(text, start, stop):
                return None
        return stop


def _number(
    kind: str, pattern: str, check: Check = lambda _: True, *, n_digits: int, more_may_follow: bool = False
) -> Rule:
    return Rule(kind, re.compile(pattern), check, n_digits=n_digits, more_may_follow=more_may_follow)


def _marked(kind: str, pattern: str, *marks: str, flags: int = 0, check: Check = lambda _: True) -> Rule:
    return Rule(kind, re.compile(pattern, flags), check, marks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_RUN = re.compile(r"[0-9A-Z ./()+-]{4,}")


def most_digits(text: str) -> int:
    """How many digits the number with the most of them could have: those in a row without a word between."""
    return max((sum(map(str.isdigit, run)) for run in _RUN.findall(text)), default=0)


_VALUE = r"[^\s\"',;]{4,}"
CREDENTIALS: Sequence[Rule] = (
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
)
PERSONAL: Sequence[Rule] = (
    _marked("EMAIL", r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+", "@"),
    _number("IBAN", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", checksums.is_iban, n_digits=2, more_may_follow=True),
    _number("PHONE", phones.INTERNATIONAL, phones.is_international, n_digits=7),
    _number(
        "CARD",
        r"(?<![\w.])(?:[2-6]\d|18)\d\d(?:[ -]?\d){8,15}(?![\w])",
        checksums.is_card,
        n_digits=12,
        more_may_follow=True,
    ),
    _number("IP_ADDRESS", r"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", _is_address, n_digits=4),
    _marked("IP_ADDRESS", r"(?<![\w.:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", ":", check=_is_address),
    *(
        _number("NATIONAL_ID", rf"(?<![\w.-])(?:{form})(?![\w-])", check, n_digits=n_digits)
        for form, n_digits, check in national.FORMS
    ),
    *(_number("PHONE", form, check, n_digits=n_digits) for form, n_digits, check in phones.FORMS),
    _marked("PHONE", phones.CALLED, *phones.WORDS, flags=re.IGNORECASE),
)
RULES: Sequence[Rule] = (*CREDENTIALS, *PERSONAL)
"""In the order in which they claim what they find."""
