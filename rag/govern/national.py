"""National numbers: how each is written, and what its check digits must be.

A number whose form is nobody else's needs no check digit. Where several countries write alike, any may claim it.
"""

from collections.abc import Callable, Sequence
from string import ascii_uppercase

from rag.govern.checksums import digits, luhn, mod_11_10, number_of, verhoeff, weighted

_SPANISH = "TRWAGMYFPDXBNJZSQVHLCKE"
_FINNISH = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CHINESE = "10X98765432"
_ITALIAN_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_MONTHS, _DAYS = range(1, 13), range(1, 32)


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
    return len(set(found)) > 1 and all(
        weighted(text[:-1] if size == 9 else text, range(size + 1, 1, -1)) * 10 % 11 % 10 == found[size]
        for size in (9, 10)
    )


def is_german(text: str) -> bool:
    """Steuer-ID: MOD 11,10; of the first ten digits some repeat and none comes more than three times."""
    first = digits(text)[:10]
    return bool(first[0]) and max(map(first.count, first)) in {2, 3} and mod_11_10(text)


def is_polish(text: str) -> bool:
    """PESEL: weights 1 3 7 9; the month carries the century."""
    found = digits(text)
    month, day = (found[2] * 10 + found[3]) % 20, found[4] * 10 + found[5]
    return month in _MONTHS and day in _DAYS and (weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1))) % 10 == 0


def is_norwegian(text: str) -> bool:
    """Fødselsnummer: two digits modulo 11."""
    return (
        weighted(text, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(text, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def is_turkish(text: str) -> bool:
    """T.C. kimlik: two digits modulo ten."""
    found = digits(text)
    tenth = (7 * sum(found[0:9:2]) - sum(found[1:8:2])) % 10
    return bool(found[0]) and found[9] == tenth and sum(found[:10]) % 10 == found[10]


def is_belgian(text: str) -> bool:
    """Rijksregisternummer: 97 less the first nine digits modulo 97, a 2 before them for who was born since 2000."""
    number = number_of(text)
    body, check = divmod(number, 100)
    return check in {97 - body % 97, 97 - (2_000_000_000 + body) % 97}


def is_greek(text: str) -> bool:
    """AMKA: a date of birth, and Luhn."""
    return _starts_with_a_day(text) and luhn(text)


def is_baltic(text: str) -> bool:
    """Isikukood and asmens kodas, of Estonia and Lithuania: a date, and modulo 11 over weights that move on at ten."""
    found = digits(text)
    if not _is_day(found[3:7]):
        return False
    for weights in ((1, 2, 3, 4, 5, 6, 7, 8, 9, 1), (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)):
        check = weighted(text, weights) % 11
        if check < 10:
            return check == found[10]
    return found[10] == 0


def is_swedish(text: str) -> bool:
    """Personnummer: a month, a day, and Luhn over the last ten digits."""
    found = digits(text)[-10:]
    month, day = found[2] * 10 + found[3], found[4] * 10 + found[5]
    return month in _MONTHS and day in range(1, 92) and luhn("".join(map(str, found)))


def is_danish(text: str) -> bool:
    """CPR: a date of birth; since 2007 there is no check digit."""
    return _starts_with_a_day(text)


def is_czech(text: str) -> bool:
    """Rodné číslo: a date of birth, its month 50 more for women, and nine digits modulo eleven, where ten is nought."""
    found = digits(text)
    month, day = found[2] * 10 + found[3], found[4] * 10 + found[5]
    body, check = divmod(number_of(text), 10)
    return (month % 50) % 20 in _MONTHS and day in _DAYS and body % 11 % 10 == check


def is_nhs(text: str) -> bool:
    """UK health number: weights 10 to 2, modulo 11."""
    return weighted(text, (*range(10, 1, -1), 1)) % 11 == 0


def is_austrian(text: str) -> bool:
    """Sozialversicherungsnummer: the fourth digit is a weighted sum modulo 11; a date of birth ends it."""
    found = digits(text)
    day, month = found[4] * 10 + found[5], found[6] * 10 + found[7]
    return day in _DAYS and month in range(1, 16) and weighted(text, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11 == found[3]


def is_dutch(text: str) -> bool:
    """BSN: weights 9 to 2 and -1, modulo 11."""
    return bool(number_of(text)) and weighted(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def is_portuguese(text: str) -> bool:
    """NIF: weights 9 to 2, modulo 11, where ten counts as nought."""
    found = digits(text)
    return found[0] in {1, 2, 3, 5, 6, 8, 9} and (11 - weighted(text, range(9, 1, -1)) % 11) % 11 % 10 == found[8]


def is_romanian(text: str) -> bool:
    """CNP: a date of birth, and modulo 11, where ten counts as one."""
    found = digits(text)
    if not _is_day(found[3:7]):
        return False
    check = weighted(text, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return bool(found[0]) and (check if check < 10 else 1) == found[12]


def is_finnish(text: str) -> bool:
    """Henkilötunnus: a character by the number modulo 31."""
    return text[-1] == _FINNISH[int(text[:6] + text[7:10]) % 31]


def is_chinese(text: str) -> bool:
    """Resident identity card: a date of birth, and ISO 7064, MOD 11-2."""
    if text[6:8] not in {"18", "19", "20"} or not _is_day(digits(text[10:14])):
        return False
    weights = [2**place % 11 for place in range(17, 0, -1)]
    return _CHINESE[weighted(text[:17], weights) % 11] == text[-1].upper()


def _starts_with_a_day(text: str) -> bool:
    day, month = digits(text)[:2], digits(text)[2:4]
    return _is_day([*month, *day])


def _is_day(found: Sequence[int]) -> bool:
    """Whether four digits are a month and a day of it."""
    return found[0] * 10 + found[1] in _MONTHS and found[2] * 10 + found[3] in _DAYS


def _any(*checks: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: any(check(text) for check in checks)


FORMS: tuple[tuple[str, int, Callable[[str], bool]], ...] = (
    (r"\d{3}-\d\d-\d{4}|(?!000|666)\d{3} (?!00)\d\d (?!0000)\d{4}", 9, lambda _: True),  # US
    (r"[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-DFMPT]", 6, lambda _: True),  # UK, national insurance
    (r"[XYZ\d]\d{7}-?[A-Z]", 7, is_spanish),
    (r"\d{7}[A-W][A-IW]?", 7, lambda _: True),  # Ireland
    (r"[A-Z]{6}\d\d[A-T]\d\d[A-Z]\d{3}[A-Z]", 7, is_italian),
    (r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d", 7, lambda _: True),  # Mexico, CURP
    (r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", 9, is_finnish),
    (r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d", 13, lambda _: True),  # Switzerland
    (r"\d{6}-[1-8]\d{6}", 13, lambda _: True),  # South Korea
    (r"[12] ?\d\d ?[01]\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d", 14, is_french),
    (r"\d{17}[\dXx]", 17, is_chinese),
    (r"[1-9]\d{12}", 13, is_romanian),
    (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", 11, is_belgian),
    (r"\d{3}\.\d{3}\.\d{3}-\d\d", 11, is_brazilian),
    (
        r"\d\d ?\d{3} ?\d{3} ?\d{3}|\d{6} ?\d{5}",
        11,
        _any(
            *(is_german, is_polish, is_brazilian, mod_11_10, is_norwegian, is_turkish, is_belgian, is_greek),
            *(is_baltic, luhn),  # Croatia has MOD 11,10 by itself, and Mexico Luhn
        ),
    ),
    (r"(?:\d\d)?\d{6}[-+]?\d{4}", 10, is_swedish),
    (r"\d{6}-\d{4}", 10, is_danish),
    (r"\d{6}/?\d{4}", 10, is_czech),
    (r"\d{4} ?\d{6}", 10, is_austrian),
    (r"\d{3} \d{3} \d{4}|[3-9]\d{9}", 10, is_nhs),
    (r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", 12, verhoeff),  # India
    (r"\d{3}[ -]\d{3}[ -]\d{3}", 9, luhn),  # Canada
    (r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}|\d{3} \d{3} \d{3}", 9, _any(is_dutch, is_portuguese)),
)
"""How a number is written, how many digits that are at least, and what else must be right."""
