"""Published examples of each number are right, and every change of one digit is noticed."""

import pytest

from rag.govern import checksums

PUBLISHED = [
    (checksums.is_card, "4111 1111 1111 1111"),
    (checksums.is_card, "378282246310005"),
    (checksums.is_iban, "DE89 3704 0044 0532 0130 00"),
    (checksums.is_iban, "GB29NWBK60161331926819"),
    (checksums.is_spanish, "12345678Z"),
    (checksums.is_spanish, "X1234567L"),
    (checksums.is_italian, "RSSMRA85T10A562S"),
    (checksums.is_french, "2 55 08 14 168 025 38"),
    (checksums.is_brazilian, "111.444.777-35"),
    (checksums.is_german, "86 095 742 719"),
    (checksums.is_polish, "44051401359"),
    (checksums.is_swedish, "811228-9874"),
    (checksums.is_nhs, "943 476 5919"),
    (checksums.is_indian, "2363"),
    (checksums.luhn, "046 454 286"),
]


@pytest.mark.parametrize(("check", "number"), PUBLISHED)
def test_a_published_example_is_right(check, number) -> None:
    assert check(number)


@pytest.mark.parametrize(("check", "number"), PUBLISHED)
def test_a_changed_last_character_is_noticed(check, number) -> None:
    last = number[-1]
    others = "ABCDEFGHJKLMNPQRSTVWXYZ" if last.isalpha() else "0123456789"
    assert not any(check(number[:-1] + other) for other in others if other != last)


def test_a_row_of_one_digit_is_no_card_and_no_cpf() -> None:
    assert not checksums.is_card("0" * 16)
    assert not checksums.is_brazilian("111.111.111-11")
