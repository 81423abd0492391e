"""Check digits: the schemes that cards, accounts and national numbers use. Each takes the text as it was written."""

from collections.abc import Sequence

_VERHOEFF_ORDER = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
_IBAN_LENGTH = range(15, 35)
_NETWORKS = (
    (("4",), {13, 16, 19}),  # Visa
    (("34", "37"), {15}),  # American Express
    (("30", "36", "38", "39"), {14, 16, 19}),  # Diners Club
    (("1800", "2131"), {15}),  # JCB, the old ones
    (("35",), {16, 19}),
    (("22", "23", "24", "25", "26", "27", "51", "52", "53", "54", "55"), {16}),  # Mastercard
    (("50", "56", "57", "58", "6"), set(range(12, 20))),  # Maestro, Discover, UnionPay and others
)
"""How the numbers of each begin, and how many digits they have."""


def digits(text: str) -> list[int]:
    """Its digits, in order."""
    return [int(character) for character in text if character.isdigit() and character.isascii()]


def number_of(text: str) -> int:
    """Its digits as one number."""
    return int("".join(map(str, digits(text))))


def weighted(text: str, weights: Sequence[int]) -> int:
    """The sum of its first digits, each times its weight."""
    return sum(digit * weight for digit, weight in zip(digits(text), weights, strict=False))


def luhn(text: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, the sum a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(digits(text))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def mod_11_10(text: str) -> bool:
    """ISO 7064, MOD 11,10."""
    *body, last = digits(text)
    product = 10
    for digit in body:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == last


def verhoeff(text: str) -> bool:
    """Verhoeff's scheme over the dihedral group of order ten."""
    total = 0
    for place, digit in enumerate(reversed(digits(text))):
        total = _dihedral(total, _permuted(digit, place % 8))
    return total == 0


def is_card(text: str) -> bool:
    """A payment card: as many digits as its network has, not all the same, and Luhn's check digit."""
    found = "".join(map(str, digits(text)))
    is_issued = any(found.startswith(beginnings) and len(found) in lengths for beginnings, lengths in _NETWORKS)
    return is_issued and len(set(found)) > 1 and luhn(text)


def is_iban(text: str) -> bool:
    """ISO 13616: the country moved to the end, letters as numbers from 10, is 1 modulo 97."""
    account = text.replace(" ", "")
    if len(account) not in _IBAN_LENGTH:
        return False
    return int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97 == 1


def _dihedral(left: int, right: int) -> int:
    """The product in the dihedral group of order ten: 0 to 4 turn, 5 to 9 turn over."""
    if left < 5:
        return (left + right) % 5 + (5 if right >= 5 else 0)
    return (left - right) % 5 + (0 if right >= 5 else 5)


def _permuted(digit: int, times: int) -> int:
    for _ in range(times):
        digit = _VERHOEFF_ORDER[digit]
    return digit
