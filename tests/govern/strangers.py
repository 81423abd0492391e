"""Personal data as others generate it: Faker's providers, phonenumbers' examples of every region, schwifty's banks.

Nothing here was written with the rules in mind that are held against it; only the sentences are ours, and what people
say before a number. `python -m tests.govern.strangers` tells how much is found, kind by kind and source by source, and
what is found in ordinary texts.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import phonenumbers
from faker import Faker
from phonenumbers import PhoneNumberFormat, format_number
from schwifty import IBAN

from rag.govern.redact import find

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

SENTENCES = (
    "{}",
    "({}) was found in the ticket",
    "Please use {} for the refund.",
    "The customer gave {}, then hung up.",
    "Is {} still valid?",
    "account:\t{}\nplease check",
    '{{"field": "{}"}}',
    "Ich heiße Jürgen, {}; danke!",
)
CALLS = (
    "tel. {}",
    "Call me at {}.",
    "Phone: {}",
    "mobile {}",
    "my number is {}",
    "Telefon {}",
    "tél. {}",
    "teléfono {}",
)
"""What stands before most phone numbers. A number without any punctuation or country is one by such a word only."""

PHONES = (
    *(
        "en_US",
        "en_GB",
        "en_CA",
        "en_AU",
        "en_IE",
        "en_IN",
        "en_NZ",
        "de_DE",
        "de_AT",
        "de_CH",
        "fr_FR",
        "fr_CH",
        "it_IT",
    ),
    *(
        "es_ES",
        "es_MX",
        "pt_BR",
        "pt_PT",
        "pl_PL",
        "nl_NL",
        "nl_BE",
        "sv_SE",
        "no_NO",
        "da_DK",
        "fi_FI",
        "cs_CZ",
        "hu_HU",
    ),
    *("ro_RO", "el_GR", "tr_TR", "ru_RU", "uk_UA", "ja_JP", "ko_KR", "zh_CN", "zh_TW", "he_IL", "ar_SA"),
)
IDS = (
    *("en_US", "en_GB", "en_CA", "en_IN", "de_DE", "fr_FR", "it_IT", "es_ES", "pl_PL", "pt_BR", "sv_SE", "nl_NL"),
    *(
        "nl_BE",
        "de_AT",
        "de_CH",
        "no_NO",
        "dk_DK",
        "fi_FI",
        "pt_PT",
        "es_MX",
        "cs_CZ",
        "en_IE",
        "tr_TR",
        "ro_RO",
        "hr_HR",
    ),
)
MAILS = ("en_US", "de_DE", "fr_FR", "ja_JP", "pt_BR", "pl_PL", "cs_CZ")
COLLECTIONS = ("squad-dev-1.1", "cisi", "time", "npl")

Made = tuple[str, str]
"""A value, and where it is from."""


@cache
def provided(locale: str) -> Faker:
    return Faker(locale)


def faker(locale: str, rng: random.Random) -> Faker:
    """The providers of a country; what they make depends on nothing but `rng`."""
    fake = provided(locale)
    fake.seed_instance(rng.getrandbits(64))
    return fake


def email(rng: random.Random) -> Made:
    fake = faker(rng.choice(MAILS), rng)
    return rng.choice((fake.email, fake.company_email, fake.ascii_free_email, fake.safe_email))(), "faker"


def phone(rng: random.Random) -> Made:
    """A number as it is written at home."""
    locale = rng.choice(PHONES)
    return faker(locale, rng).phone_number(), locale


def international(rng: random.Random) -> Made:
    region = rng.choice(sorted(phonenumbers.SUPPORTED_REGIONS))
    kind = rng.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
    number = phonenumbers.example_number_for_type(region, kind) or phonenumbers.example_number(region)
    assert number is not None
    form = rng.choice((PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.E164))
    return format_number(number, form), region


def card(rng: random.Random) -> Made:
    kind = rng.choice(("visa13", "visa16", "mastercard", "amex", "discover", "diners", "jcb15", "jcb16", "maestro"))
    number = faker("en_US", rng).credit_card_number(kind)
    mark = rng.choice(("", " ", "-"))
    return mark.join(number[at : at + 4] for at in range(0, len(number), 4)), kind


BANKS = (
    *(
        "AD",
        "AE",
        "AT",
        "BE",
        "BG",
        "CH",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GB",
        "GR",
        "HR",
        "HU",
        "IE",
        "IL",
    ),
    *("IS", "IT", "LT", "LU", "LV", "MC", "MT", "NL", "NO", "PL", "PT", "RO", "SA", "SE", "SI", "SK", "TR", "UA"),
)


def iban(rng: random.Random) -> Made:
    country = rng.choice(BANKS)
    number = IBAN.random(country, random=rng, use_registry=False)
    return (number.formatted if rng.random() < 0.5 else str(number)), country


def address(rng: random.Random) -> Made:
    fake = faker("en_US", rng)
    kind = rng.choice(("ipv4", "ipv4_private", "ipv6"))
    return getattr(fake, kind)(), kind


def national(rng: random.Random) -> Made:
    locale = rng.choice(IDS)
    return str(faker(locale, rng).ssn()), locale


MAKERS: dict[str, Callable[[random.Random], Made]] = {
    "EMAIL": email,
    "PHONE": phone,
    "PHONE with its country": international,
    "CARD": card,
    "IBAN": iban,
    "IP_ADDRESS": address,
    "NATIONAL_ID": national,
}


def examples(kind: str, count: int, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Sentences with one value of the kind each: the sentence, the value, and where that is from."""
    rng = random.Random(f"{kind} {seed}")
    for _ in range(count):
        value, source = MAKERS[kind](rng)
        sentence = rng.choice(SENTENCES)
        if kind == "PHONE" and rng.random() < 0.5:
            sentence = rng.choice(CALLS)
        yield sentence.format(value), value, source


def is_hidden(text: str, value: str) -> bool:
    """Whether all letters and digits of the value but two are covered: a country code in brackets may stay."""
    start = text.index(value)
    covered = {at for one in find(text) for at in range(one.start, one.stop)}
    left = [at for at in range(start, start + len(value)) if at not in covered and text[at].isalnum()]
    return len(left) <= 2


def plain(collection: str) -> list[str]:
    """Texts that others wrote for everyone to read."""
    file = DATA / "tune" / collection / "corpus.jsonl"
    return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]


def report(count: int) -> Iterator[str]:
    """What is found of each kind and what is not, then what is found where nothing is to be found."""
    for kind in MAKERS:
        seen, missed = Counter[str](), dict[str, list[str]]()
        for text, value, source in examples(kind, count):
            seen[source] += 1
            if not is_hidden(text, value):
                missed.setdefault(source, []).append(value)
        yield f"{kind:24s} recall {1 - sum(map(len, missed.values())) / count:.4f}"
        for source, values in sorted(missed.items(), key=lambda item: -len(item[1])):
            yield f"    {source:10s} missed {len(values)} of {seen[source]}, such as {values[0]!r}"
    for collection in COLLECTIONS:
        texts = plain(collection)
        found = [(one.kind, text[max(0, one.start - 20) : one.stop + 15]) for text in texts for one in find(text)]
        yield f"{collection:24s} {len(found)} found in {len(texts)} texts"
        for kind, words in found:
            yield f"    {kind:12s} {words!r}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in report(int(sys.argv[1]) if len(sys.argv) > 1 else 3_000))
