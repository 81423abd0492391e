"""Telephone numbers: how they are written with a country, at home, and behind a word that says what they are."""

import re
from collections.abc import Callable

from rag.govern.checksums import digits

_E164 = range(7, 16)
"""How many digits a number with its country may have; some islands have three or four of their own."""

_HOME = range(8, 14)
_EXTENSION = r"(?: ?(?:x|ext\.?|#) ?\d{1,6})?"
_GROUP = re.compile(r"\d+")

INTERNATIONAL = rf"(?<![\w+])(?<!\d[ -])(?:\+ ?|00)[1-9]\d{{0,3}}(?:[ ./-]?\(?\d{{1,5}}\)?){{1,6}}{_EXTENSION}(?![\w])"

WORDS = (
    *("tel", "tél", "phone", "fone", "fon", "mobil", "móvil", "movil", "cell", "celular", "handy", "fax", "whatsapp"),
    *("call", "number is", "ring"),
)
CALLED = (
    rf"(?:\b(?:{'|'.join(WORDS)})\w*\.?)"
    r"(?:\s*(?:no\.?|nr\.?|number|me|us|him|her|at|on|is|under)\b)*\s*[:=]?\s*"
    rf"\+?\(?\d(?:[ ./()-]{{0,2}}\d){{5,14}}{_EXTENSION}"
)
"""A number that is called one."""


def is_international(text: str) -> bool:
    """E.164 allows 15 digits."""
    return len(digits(re.split(r"[xe#]", text)[0])) in _E164


def is_grouped(text: str) -> bool:
    """Whether groups of digits are a number to call: no date, no years, no quantity, no list of small numbers."""
    number = re.split(r"[xe#]", text)[0]
    groups, marks = _GROUP.findall(number), set(re.findall(r"[./-]", number))
    sizes = tuple(map(len, groups))
    if sum(sizes) not in _HOME or 1 in sizes[1:] or number.count("(") != number.count(")"):
        return False
    is_sum = "." in marks and (len(marks) > 1 or " " in number)
    is_choice = marks == {"/"} and not number.startswith(("0", "("))
    is_date = sizes == (2, 2, 4) or (sizes[:3] == (4, 2, 2) and groups[0] >= "1000")
    are_years = all(size == 4 and "1000" <= group <= "2100" for size, group in zip(sizes, groups, strict=True))
    is_quantity = sizes[0] < 3 and set(sizes[1:]) == {3}
    return not (is_sum or is_choice or is_date or are_years or is_quantity)


FORMS: tuple[tuple[str, int, Callable[[str], bool]], ...] = (
    (
        rf"(?<![\w.-])(?:1[ .-])?(?:\(\d{{3}}\) ?|\d{{3}}[ .-])\d{{3}}[ .-]\d{{4}}{_EXTENSION}(?![\w-])",
        10,
        lambda _: True,
    ),
    (
        rf"(?<![\w.,:/+-])\(?\d{{1,5}}\)?(?:[ ./-]{{1,2}}\(?\d{{1,6}}\)?){{1,5}}{_EXTENSION}(?![\w%-]|[.,:/]\d)",
        8,
        is_grouped,
    ),
    (rf"(?<![\w.,:/+-])\(?0[1-9]\d{{0,4}}\)?(?:[ /.-]{{0,3}}\d{{2,8}}){{1,5}}{_EXTENSION}(?![\w-])", 8, is_grouped),
    (rf"(?<![\w.,:/+-])(?:0\d{{8,10}}|[2-9]\d{{9}}|1[3-9]\d{{9}}){_EXTENSION}(?![\w-]|[.,:/]\d)", 9, lambda _: True),
)
"""How a number is written without its country, how many digits that are at least, and what else must be right.

Runs of digits with nothing between them are taken for numbers of North America, India, China and of all who dial a 0.
"""
