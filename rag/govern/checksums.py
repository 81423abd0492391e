"""The check digits of cards, accounts and national numbers. Each takes the text as it was written."""

from string import ascii_uppercase

_SPANISH = "TRWAGMYFPDXBNJZSQVHLCKE"
_ITALIAN_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_VERHOEFF_ORDER = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
_IBAN_LENGTH = range(15, 35)
_CARD_LENGTH = range(13, 20)
_PHONE_LENGTH = range(8, 16)


def digits(text: str) -> list[int]:
    """Its digits, in order."""
    return [int(character) for character in text if character.isdigit() and character.isascii()]


def luhn(text: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, the sum a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(digits(text))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def is_card(text: str) -> bool:
    """A payment card: 13 to 19 digits that are not all the same."""
    found = digits(text)
    return len(found) in _CARD_LENGTH and len(set(found)) > 1 and luhn(text)


def is_iban(text: str) -> bool:
    """ISO 13616: the country moved to the end, letters as numbers from 10, is 1 modulo 97."""
    account = text.replace(" ", "")
    if len(account) not in _IBAN_LENGTH:
        return False
    return int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97 == 1


def is_phone(text: str) -> bool:
    """E.164 allows 15 digits; shorter than 8 is rather a quantity. A run of digits with nothing between is none."""
    return len(digits(text)) in _PHONE_LENGTH and (text.startswith(("+", "00")) or not text.isdigit() or len(text) > 9)


def is_spanish(text: str) -> bool:
    """DNI and NIE: a letter by the number modulo 23."""
    number = text.replace("-", "").translate(str.maketrans("XYZ", "012"))
    return text[-1] == _SPANISH[int(number[:8]) % 23] if number[:8].isdigit() else False


def is_italian(text: str) -> bool:
    """Codice fiscale: letters and digits have other values in odd places; the sum modulo 26 is the last letter."""
    total = 0
    for place, character in enumerate(text[:15]):
        value = int(character) if character.isdigit() else ascii_uppercase.index(character)
        total += value if place % 2 else _ITALIAN_ODD[value]
    return text[15] == ascii_uppercase[total % 26]


def is_french(text: str) -> bool:
    """NIR: the last two digits are 97 less the number modulo 97; Corsica's 2A and 2B stand for 19 and 18."""
    number = text.replace(" ", "").replace("2A", "19").replace("2B", "18")
    return number.isdigit() and len(number) == 15 and int(number[13:]) == 97 - int(number[:13]) % 97


def is_brazilian(text: str) -> bool:
    """CPF: two digits modulo 11 over falling weights."""
    found = digits(text)
    if len(found) != 11 or len(set(found)) == 1:
        return False
    return all(
        sum(digit * weight for digit, weight in zip(found, range(size + 1, 1, -1), strict=False)) * 10 % 11 % 10
        == found[size]
        for size in (9, 10)
    )


def is_german(text: str) -> bool:
    """Steuer-ID: ISO 7064 MOD 11,10; of the first ten digits some repeat and none comes more than three times."""
    found = digits(text)
    if len(found) != 11 or not found[0] or max(map(found[:10].count, found[:10])) not in (2, 3):
        return False
    product = 10
    for digit in found[:10]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == found[10]


def is_polish(text: str) -> bool:
    """PESEL: weights 1 3 7 9; the month carries the century."""
    found = digits(text)
    if len(found) != 11 or (found[2] * 10 + found[3]) % 20 not in range(1, 13) or found[4] > 3:
        return False
    return (10 - sum(digit * (1, 3, 7, 9)[place % 4] for place, digit in enumerate(found[:10]))) % 10 == found[10]


def is_swedish(text: str) -> bool:
    """Personnummer: a month, a day, and Luhn over the last ten digits."""
    found = digits(text)[-10:]
    month, day = found[2] * 10 + found[3], found[4] * 10 + found[5]
    return month in range(1, 13) and day in range(1, 92) and luhn("".join(map(str, found)))


def is_nhs(text: str) -> bool:
    """UK health number: weights 10 to 2, modulo 11."""
    found = digits(text)
    return (11 - sum(digit * (10 - place) for place, digit in enumerate(found[:9])) % 11) % 11 == found[9]


def is_indian(text: str) -> bool:
    """Aadhaar: Verhoeff's scheme over the dihedral group of order ten."""
    total = 0
    for place, digit in enumerate(reversed(digits(text))):
        total = _dihedral(total, _permuted(digit, place % 8))
    return total == 0


def _dihedral(left: int, right: int) -> int:
    """The product in the dihedral group of order ten: 0 to 4 turn, 5 to 9 turn over."""
    if left < 5:
        return (left + right) % 5 + (5 if right >= 5 else 0)
    return (left - right) % 5 + (0 if right >= 5 else 5)


def _permuted(digit: int, times: int) -> int:
    for _ in range(times):
        digit = _VERHOEFF_ORDER[digit]
    return digit
