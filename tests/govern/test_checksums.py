"""Published examples of each number are right, every change of one digit is noticed, and python-stdnum agrees."""

import random
import string
from importlib import import_module

import pytest

from rag.govern import checksums, national

PUBLISHED = [
    (checksums.is_card, "4111 1111 1111 1111"),
    (checksums.is_card, "378282246310005"),
    (checksums.is_iban, "DE89 3704 0044 0532 0130 00"),
    (checksums.is_iban, "GB29NWBK60161331926819"),
    (national.is_spanish, "12345678Z"),
    (national.is_spanish, "X1234567L"),
    (national.is_italian, "RSSMRA85T10A562S"),
    (national.is_french, "2 55 08 14 168 025 38"),
    (national.is_brazilian, "111.444.777-35"),
    (national.is_german, "86 095 742 719"),
    (national.is_polish, "44051401359"),
    (national.is_swedish, "811228-9874"),
    (national.is_nhs, "943 476 5919"),
    (checksums.verhoeff, "2363"),
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
    assert not national.is_brazilian("111.111.111-11")


FORMS = {
    "es.dni": (national.is_spanish, "########@"),
    "it.codicefiscale": (national.is_italian, "RSSMRA85T##A###@"),
    "fr.nir": (national.is_french, "1850575######"),
    "br.cpf": (national.is_brazilian, "###########"),
    "de.idnr": (national.is_german, "1123#######"),
    "pl.pesel": (national.is_polish, "8505#######"),
    "no.fodselsnummer": (national.is_norwegian, "010585#####"),
    "tr.tckimlik": (national.is_turkish, "###########"),
    "be.nn": (national.is_belgian, "850501#####"),
    "gr.amka": (national.is_greek, "010585#####"),
    "ee.ik": (national.is_baltic, "3850501####"),
    "lt.asmens": (national.is_baltic, "3850501####"),
    "se.personnummer": (national.is_swedish, "850501-####"),
    "dk.cpr": (national.is_danish, "010585-####"),
    "cz.rc": (national.is_czech, "850501####"),
    "gb.nhs": (national.is_nhs, "##########"),
    "at.vnr": (national.is_austrian, "####010585"),
    "nl.bsn": (national.is_dutch, "#########"),
    "pt.nif": (national.is_portuguese, "2########"),
    "ro.cnp": (national.is_romanian, "1850501#####"),
    "fi.hetu": (national.is_finnish, "010585-###@"),
    "cn.ric": (national.is_chinese, "11010519850501####"),
    "in_.aadhaar": (checksums.verhoeff, "2###########"),
    "hr.oib": (checksums.mod_11_10, "###########"),
    "ca.sin": (checksums.luhn, "1########"),
}
"""How numbers of each of python-stdnum's modules look, or their beginning where that adds the check digits."""

COMPLETED = {"fr.nir": "calc_check_digits", "ro.cnp": "calc_check_digit"}


@pytest.mark.parametrize("name", FORMS)
def test_what_another_library_takes_for_right_is_right(name: str) -> None:
    other, (check, form), rng = import_module(f"stdnum.{name}"), FORMS[name], random.Random(name)
    fill = {"#": string.digits, "@": string.ascii_uppercase}
    tries = ("".join(rng.choice(fill.get(one, one)) for one in form) for _ in range(4_000))
    complete = getattr(other, COMPLETED.get(name, ""), lambda _: "")
    valid = [number for number in (one + complete(one) for one in tries) if other.is_valid(number)]
    assert len(valid) >= 5
    assert not [number for number in valid if not check(number)]
