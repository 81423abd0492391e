"""Made-up personal data in made-up sentences, and sentences that only look as if they held some.

Written from the public formats, independently of the rules that are held against it: the check digits are computed here
by search, not by the formulas of the rules.
"""

import base64
import random
import string
import sys
from collections.abc import Callable, Iterator

from rag.govern import checksums, national
from rag.govern.redact import find, redactor

SENTENCES = (
    "Please write to {} about the refund.",
    "My number is {}, call after five.",
    "The customer gave {} and hung up.",
    "Is {} still valid?",
    "({}) was found in the ticket",
    "account: {}\nplease check",
    "Ich heiße Jürgen, {}; danke!",
    "see {}.",
    "{}",
    '{{"field": "{}"}}',
)
PLAIN = (
    "Order 2024-11-23-0042 shipped on 2024-11-23 at 10:15:30.",
    "Version 10.2.1 replaces 9.14.0-rc.2; see section 3.4.5 of the manual.",
    "The price is 1,234,567.89 EUR, VAT 19 %, invoice 100234567.",
    "Page 123-456 of volume 12, lines 1 to 4000.",
    "ISBN 978-3-16-148410-0 costs 20 euros.",
    "Commit 3f2a9c1b7d4e of 12 May 2023 changed 1,204 files.",
    "The tower is 330 metres tall and was built in 1889 by 300 workers.",
    "Part number 4417 1234 5678 9114 is out of stock.",
    "Temperatures rose from 10.5 to 22.75 degrees between 08:00 and 17:30.",
    "UUID 123e4567-e89b-12d3-a456-426614174000 is the tenant's id.",
    "Flight LH 1234 leaves at 06:45 from gate B12; seat 23A.",
    "Set max_tokens = 4096 and temperature = 0.2, seed 1234567.",
    "In 2019 there were 1 234 567 visitors, in 2020 only 345 678.",
    "The hash is 5d41402abc4b2a76b9719d911017c592 for that file.",
    "Score 3:2 after 90 minutes; ratio 16:9, time 1:23:45.",
    "Room 101, floor 3, building 7, zone 10115.",
    "Cases rose by 12.5% to 1,048,576 in the week of 2021-03-14.",
    "Equation 4.2 holds for 0 < x < 1e-5 and n = 1000000.",
    "What does error 0x80070057 mean on Windows 10.0.19045?",
    "The secret of good soup is patience, and the password policy is on page 4.",
    "Contract 2020/0815 replaces 2018/4711 from 01.02.2021 to 31.12.2022.",
    "Use the @dataclass decorator, or mail merge; C# 8.0 and F# 4.7 work too.",
)


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(count))


def solved(rng: random.Random, make: Callable[[], str], is_right: Callable[[str], bool]) -> str:
    while True:
        text = make()
        if is_right(text):
            return text


def email(rng: random.Random) -> str:
    name = rng.choice(["ann", "bob.miller", "j_doe+spam", "o'neil", "x-1", "JANE.DOE", "müller"])
    host = rng.choice(["example.com", "mail.example.co.uk", "firma-gmbh.de", "a.io", "sub.dept.uni.edu"])
    return f"{name}{rng.choice(['', digits(rng, 2)])}@{host}"


def phone(rng: random.Random) -> str:
    shapes = (
        *("+49 30 ######", "+49 (0)30 #######", "030 / 1######", "089 23####", "0171-2######", "(030) 2######"),
        *("+1 (212) 5##-####", "+1-415-5##-####", "212-555-####", "(415) 555-####", "415.555.####"),
        *("+44 20 7### ####", "020 7946 0###", "+33 1 42 ## ## ##", "0033142######", "+39 06 ### ####"),
        *("+91 98### #####", "+86 138 #### ####", "+46 8 ### ### ##"),
    )
    return "".join(rng.choice(string.digits) if one == "#" else one for one in rng.choice(shapes))


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(
        [("4", 16), ("51", 16), ("37", 15), ("6011", 16), ("3530", 16), ("4", 13), ("2223", 16)]
    )
    number = solved(rng, lambda: prefix + digits(rng, length - len(prefix)), checksums.luhn)
    if length == 15:
        return rng.choice([number, f"{number[:4]} {number[4:10]} {number[10:]}"])
    mark = rng.choice(["", " ", "-"])
    return mark.join(number[at : at + 4] for at in range(0, length, 4))


def iban(rng: random.Random) -> str:
    country, length = rng.choice([("DE", 22), ("FR", 27), ("GB", 22), ("NL", 18), ("NO", 15), ("MT", 31), ("PL", 28)])
    bank = "ABNA" if country in {"NL", "GB", "MT"} else ""
    body = bank + digits(rng, length - 4 - len(bank))
    number = next(
        f"{country}{check:02d}{body}" for check in range(2, 99) if checksums.is_iban(f"{country}{check:02d}{body}")
    )
    return number if rng.random() < 0.5 else " ".join(number[at : at + 4] for at in range(0, length, 4))


def address(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return ".".join(str(rng.randrange(1, 255)) for _ in range(4))
    groups = [f"{rng.randrange(1, 65536):x}" for _ in range(8)]
    return rng.choice([":".join(groups), f"2001:db8::{groups[0]}", f"fe80::{groups[0]}:{groups[1]}"])


def national_id(rng: random.Random) -> str:
    def us() -> str:
        return f"{rng.randrange(1, 665):03d}-{rng.randrange(1, 99):02d}-{rng.randrange(1, 9999):04d}"

    def cut(number: str, *sizes: int) -> str:
        mark = rng.choice(["", " "])
        parts, at = [], 0
        for size in sizes:
            parts.append(number[at : at + size])
            at += size
        return mark.join(parts)

    def dated() -> str:
        return f"{rng.randrange(40, 99)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"

    def right(check: Callable[[str], bool], shape: str) -> str:
        """`#` stands for a digit and `@` for a capital."""

        def make() -> str:
            fill = {"#": string.digits, "@": string.ascii_uppercase}
            return "".join(rng.choice(fill.get(one, one)) for one in shape)

        return solved(rng, make, check)

    makers = (
        us,
        lambda: f"AB{digits(rng, 6)}{rng.choice('ABCD')}",
        lambda: right(national.is_spanish, "########@"),
        lambda: right(national.is_italian, "RSSMRA85T##A###@"),
        lambda: cut(right(national.is_french, f"1{dated()[:4]}75########"), 1, 2, 2, 2, 3, 3, 2),
        lambda: right(national.is_brazilian, "###.###.###-##"),
        lambda: cut(right(national.is_german, "###########"), 2, 3, 3, 3),
        lambda: right(national.is_polish, f"{dated()}#####"),
        lambda: right(national.is_swedish, f"{rng.choice(['', '19'])}{dated()}-####"),
        lambda: cut(right(checksums.verhoeff, f"{rng.randrange(2, 10)}###########"), 4, 4, 4),
        lambda: right(checksums.luhn, "### ### ###"),
        lambda: cut(right(national.is_nhs, "##########"), 3, 3, 4),
    )
    return rng.choice(makers)()


def secret(rng: random.Random) -> str:
    def token(size: int) -> str:
        return base64.urlsafe_b64encode(rng.randbytes(size)).decode().rstrip("=")

    return rng.choice(
        [
            f"sk-{letters(rng, 48)}",
            f"sk-proj-{letters(rng, 40)}",
            f"sk-ant-api03-{letters(rng, 40)}",
            f"AKIA{''.join(rng.choice(string.ascii_uppercase + string.digits) for _ in range(16))}",
            f"ghp_{letters(rng, 36)}",
            f"xoxb-{digits(rng, 12)}-{letters(rng, 24)}",
            f"AIza{letters(rng, 35)}",
            f"eyJhbGciOiJIUzI1NiJ9.eyJ{token(20)}.{token(32)}",
            f"gw_{letters(rng, 8).lower()}_{token(32)}",
            f"hf_{letters(rng, 34)}",
        ]
    )


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "EMAIL": email,
    "PHONE": phone,
    "CARD": card,
    "IBAN": iban,
    "IP_ADDRESS": address,
    "NATIONAL_ID": national_id,
    "SECRET": secret,
}


def examples(kind: str, count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Sentences that hold one value of the kind, with the value."""
    rng = random.Random(f"{kind} {seed}")
    for _ in range(count):
        value = MAKERS[kind](rng)
        yield rng.choice(SENTENCES).format(value), value


def report(count: int = 2000) -> str:
    """Recall and precision by kind, and what was taken for something in the sentences that hold nothing."""
    lines = []
    for kind in MAKERS:
        pairs = list(examples(kind, count))
        hits = sum(value not in redactor()(text) for text, value in pairs)
        found = [one for text, _ in pairs for one in find(text)]
        right = sum(one.kind == kind for one in found)
        lines.append(f"{kind:12s} recall {hits / count:.3f}  precision {right / max(1, len(found)):.3f}")
    return "\n".join([*lines, f"of {len(PLAIN)} plain sentences {sum(bool(find(text)) for text in PLAIN)} changed"])


if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
