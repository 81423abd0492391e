"""Pairs of questions with known verdicts: ones that only look alike, and ones that only look different. Seeded."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from cache.gates import refused_by

Slots = Mapping[str, Sequence[str]]

_SLOTS: Slots = {
    "lang": ["Java", ".NET", "Python", "C", "C++", "C#", "Go", "Rust", "Kotlin", "Swift", "COBOL", "PHP"],
    "city": ["Paris", "Oslo", "New York", "Lima", "Cairo", "San José", "Boston", "Hong Kong", "Rome", "St. Louis"],
    "country": ["France", "Norway", "the US", "Peru", "Egypt", "Japan", "Austria", "Australia", "Iran", "Iraq"],
    "person": ["Ann Lee", "Bob", "Marie Curie", "Dr. Ito", "J. Doe", "O'Neil", "Karl", "Carl", "Alice", "Mallory"],
    "firm": ["Acme", "Globex", "Initech", "Umbrella", "Hooli", "AT&T", "3M", "IT Solutions", "Northwind", "Contoso"],
    "thing": ["invoice", "refund", "license", "report", "backup", "server", "account", "contract", "ticket", "payment"],
    "part": ["lesson", "chapter", "section", "article", "step", "version", "phase", "page", "room", "type"],
    "drug": ["aspirin", "ibuprofen", "vitamin A", "vitamin C", "vitamin D", "insulin", "benadryl", "zinc"],
    "unit": ["kilograms", "pounds", "grams", "ounces", "stones"],
    "length": ["miles", "kilometers", "meters", "feet", "inches"],
    "money": ["dollars", "euros", "yen", "pounds", "rupees"],
    "span": ["seconds", "minutes", "hours", "days", "weeks", "months", "years"],
    "month": ["January", "March", "May", "June", "July", "September", "December"],
    "group": ["adults", "children", "contractors", "employees", "students", "pregnant women", "tourists", "minors"],
    "n": ["1", "2", "3", "4", "7", "12", "14", "20", "21", "30", "45", "100", "250", "1,000", "2019", "2020", "2024"],
}

_ROLES = (
    "How was the app ported from {lang} to {lang2}?",
    "How do I convert {money} to {money2}?",
    "How do I migrate data from {firm} into {firm2}?",
    "Did {person} sue {person2}?",
    "Why did {firm} acquire {firm2}?",
    "How many {money} does {person} owe {person2}?",
    "Is {lang} faster than {lang2}?",
    "What does {person} think of {person2}?",
    "Which trains run from {city} to {city2}?",
    "When did {country} attack {country2}?",
    "Can {group} supervise {group2}?",
    "Who introduced {person} to {person2}?",
    "What happens if {firm} leaves the contract before {firm2}?",
    "Does {drug} have to be taken before {drug2}?",
    "Is {city} north of {city2}?",
    "How do I call {lang} code by {lang2} code?",
    "Was {person} succeeded by {person2}?",
    "Does the {thing} depend on the {thing2} of {firm}?",
    "Which {group} earn more than {group2}?",
    "How much is {n} {money} in {money2}?",
    "What changed from version {n} to version {n2}?",
    "What did {person} tell {person2} about {firm}?",
    "Should I use {lang} rather than {lang2}?",
    "Is {drug} derived from {drug2}?",
    "How do I turn a {thing} into a {thing2}?",
    "Does the {thing} of {firm} replace the {thing2}?",
    "May {group} see the {thing} of {group2}?",
    "Is {n} more than {n2}?",
    "Who won when {country} played {country2} in {city}?",
    "Is a {thing} a kind of {thing2}?",
)
_VALUES = (
    ("entity", "What is the capital of {country}?", "country"),
    ("entity", "Who leads the {city} office of {firm}?", "city"),
    ("entity", "Who leads the {city} office of {firm}?", "firm"),
    ("entity", "How do I install the {lang} client?", "lang"),
    ("entity", "When was {person} hired?", "person"),
    ("entity", "How long is a {thing} kept?", "thing"),
    ("entity", "Is {drug} safe with alcohol?", "drug"),
    ("entity", "What does {firm} charge for a {thing}?", "firm"),
    ("entity", "What happened in {month}?", "month"),
    ("entity", "Who won the match between {city} and {country}?", "city"),
    ("number", "What is taught in {part} {n}?", "n"),
    ("number", "What is in {part} {n} of the manual?", "n"),
    ("number", "Which rules changed in {n}?", "n"),
    ("number", "How many of the {n} seats are taken?", "n"),
    ("number", "May a refund take {n} days?", "n"),
    ("number", "What is {n} percent of the budget?", "n"),
    ("number", "What does error {n} mean?", "n"),
    ("number", "Is vitamin B{n} safe?", "n"),
    ("number", "What is due on {n} {month}?", "n"),
    ("number", "What is new in {lang} {n2}.{n}?", "n"),
    ("number", "What was the revenue of {firm} in Q{n}?", "n"),
    ("number", "What is type {n} diabetes?", "n"),
    ("number", "How do I port it to {lang} {n}?", "n"),
    ("unit", "How many {unit} does the parcel weigh?", "unit"),
    ("unit", "How many {length} is it from {city} to {city2}?", "length"),
    ("unit", "Is the limit {n} {unit}?", "unit"),
    ("unit", "How many {span} does a {thing} last?", "span"),
    ("unit", "What does it cost in {money}?", "money"),
    ("scope", "Which rules apply to {group}?", "group"),
    ("scope", "How much leave do {group} of {firm} get?", "group"),
    ("scope", "Is the {thing} tax free in {country}?", "country"),
)
_POLARITY = (
    ("Can a {thing} be cancelled?", "Can a {thing} not be cancelled?"),
    ("Which {group} are insured?", "Which {group} are not insured?"),
    ("Is it legal to copy a {thing}?", "Is it illegal to copy a {thing}?"),
    ("Why does {firm} support {lang}?", "Why doesn't {firm} support {lang}?"),
    ("How do I enable the {thing} log?", "How do I disable the {thing} log?"),
    ("Should {group} take {drug}?", "Should {group} never take {drug}?"),
    ("Who may open the {thing}?", "Who may close the {thing}?"),
    ("What are the advantages of {lang}?", "What are the disadvantages of {lang}?"),
    ("Which {thing} is valid?", "Which {thing} is invalid?"),
    ("Can I travel with a {thing}?", "Can I travel without a {thing}?"),
    ("Did {person} agree with {person2}?", "Did {person} disagree with {person2}?"),
    ("How do I add a {thing}?", "How do I remove a {thing}?"),
    ("Does {drug} cause headaches?", "Does {drug} prevent headaches?"),
    ("Is {city} safe at night?", "Is {city} unsafe at night?"),
    ("What must a {thing} include?", "What must a {thing} exclude?"),
    ("Do {group} pay for a {thing}?", "Do {group} pay nothing for a {thing}?"),
)
_DIRECTION = (
    ("What is the maximum size of a {thing}?", "What is the minimum size of a {thing}?"),
    ("Which {thing} came first at {firm}?", "Which {thing} came last at {firm}?"),
    ("What is due before {month}?", "What is due after {month}?"),
    ("Are {thing}s above {n} {money} taxed?", "Are {thing}s below {n} {money} taxed?"),
    ("Is {lang} better than {lang2}?", "Is {lang} worse than {lang2}?"),
    ("Why did sales of {firm} rise in {month}?", "Why did sales of {firm} fall in {month}?"),
    ("Which city is larger than {city}?", "Which city is smaller than {city}?"),
    ("May it take at least {n} {span}?", "May it take at most {n} {span}?"),
    ("How do I upload a {thing}?", "How do I download a {thing}?"),
    ("How do I encrypt a {thing}?", "How do I decrypt a {thing}?"),
    ("Who is the oldest member of {firm}?", "Who is the youngest member of {firm}?"),
    ("What did {firm} import from {country}?", "What did {firm} export from {country}?"),
    ("Who was the king before {person}?", "Who was the king after {person}?"),
    ("What are more than {n} {unit} called?", "What are fewer than {n} {unit} called?"),
    ("Is the {thing} sent to {firm}?", "Is the {thing} received from {firm}?"),
    ("Who is the head of {firm}?", "Who was the head of {firm}?"),
    ("When does the {thing} start?", "When does the {thing} end?"),
    ("How do I turn the {thing} on?", "How do I turn the {thing} off?"),
    ("How do I sign in to {firm}?", "How do I sign out of {firm}?"),
    ("Do you ship to {country}?", "Do you ship from {country}?"),
    ("How many {group} voted for it?", "How many {group} voted against it?"),
    ("Can I sue {firm}?", "Can {firm} sue me?"),
    ("What do I owe {person}?", "What does {person} owe me?"),
    ("Can you see my {thing}?", "Can I see your {thing}?"),
    ("Who does {person} teach?", "Who teaches {person}?"),
    ("What depends on the {thing}?", "What does the {thing} depend on?"),
    ("Who approves the {thing} before {month}?", "Who approves the {thing} by {month}?"),
)
_SCOPE = (
    ("Are all {group} of {firm} insured?", "Are some {group} of {firm} insured?"),
    ("Which {thing}s are free?", "Which {thing}s are free in {country}?"),
    ("What does {firm} offer {group}?", "What does {firm} offer {group} in {month}?"),
    ("Is every {thing} audited?", "Is any {thing} of {firm} audited?"),
    ("How long is a {thing} kept?", "How long is a deleted {thing} kept?"),
    ("Who can read a {thing}?", "Who else can read a {thing}?"),
    ("Can {group} use the {thing}?", "Can only {group} use the {thing}?"),
    ("How many people work at {firm}?", "How many people work at {firm} in {city}?"),
    ("Can both parties end the {thing}?", "Can either party end the {thing}?"),
    ("How much does a {thing} cost?", "How much does half a {thing} cost?"),
    ("What is the price of a {thing}?", "What is the average price of a {thing}?"),
    ("Is {drug} safe?", "Is {drug} safe for {group}?"),
    ("What is the population of {city}?", "What is the population of greater {city}?"),
    ("Do {group} need a {thing}?", "Do {group} always need a {thing}?"),
    ("Who approved the {thing}?", "Who approved each {thing}?"),
    ("Where is the {thing} of {person}?", "Where is the {thing} of {person}'s father?"),
    ("What is {drug} for?", "What is too much {drug} for?"),
    ("What is the gross price of a {thing}?", "What is the net price of a {thing}?"),
    ("Who may approve a {thing}?", "Who may approve a {thing} over {n} {money}?"),
    ("Does {firm} insure {group}?", "Does {firm} insure {group} abroad?"),
    ("How many days off do part-time {group} get?", "How many days off do full-time {group} get?"),
    ("Who won the first half in {city}?", "Who won the second half in {city}?"),
    ("Is the beta of {lang} stable?", "Is the last beta of {lang} stable?"),
)
_OTHER_ASKED = (
    ("When was the {thing} signed?", "Where was the {thing} signed?"),
    ("Who signed the {thing}?", "Why was the {thing} signed?"),
    ("How many {thing}s does {firm} have?", "Which {thing}s does {firm} have?"),
    ("How do I get a {thing}?", "Where do I get a {thing}?"),
    ("Why is {lang} slow?", "Is {lang} slow?"),
    ("How is the {thing} signed?", "Can the {thing} be signed?"),
    ("What is {firm}?", "What does {firm} do?"),
    ("When should I take {drug}?", "When did I take {drug}?"),
    ('What does "{lang}" mean?', 'What does "{city}" mean?'),
    ("How often does {firm} pay?", "How much does {firm} pay?"),
)


class Pair(Struct, frozen=True):
    """Two questions that look alike; `kind` is how they differ."""

    kind: str
    one: str
    other: str


def adversarial_pairs(n_pairs: int, seed: int = 0) -> list[Pair]:
    """That many different pairs whose answers differ, of seven kinds and more in turn."""
    dice = random.Random(seed)  # noqa: S311 - reproducible data, no secret
    makers = [*_makers()]
    pairs: dict[Pair, None] = {}
    while len(pairs) < n_pairs:
        pair = makers[len(pairs) % len(makers)](dice) if dice.random() < 0.5 else dice.choice(makers)(dice)
        if pair.one != pair.other:
            pairs[pair] = None
    return list(pairs)


def _makers() -> Iterator[Callable[[random.Random], Pair]]:
    yield lambda dice: _swapped(dice, dice.choice(_ROLES))
    yield lambda dice: _revalued(dice, *dice.choice(_VALUES))
    for kind, table in (
        ("polarity", _POLARITY),
        ("direction", _DIRECTION),
        ("scope", _SCOPE),
        ("question", _OTHER_ASKED),
    ):
        yield lambda dice, kind=kind, table=table: _filled(dice, kind, dice.choice(table))  # type: ignore[misc]  # bound
    yield lambda dice: _revalued(dice, *dice.choice([each for each in _VALUES if each[0] in {"number", "unit"}]))


def _drawn(dice: random.Random) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, options in _SLOTS.items():
        values[name], values[name + "2"] = dice.sample(list(options), 2)
    return values


def _swapped(dice: random.Random, template: str) -> Pair:
    values = _drawn(dice)
    turned = {name: values[name.removesuffix("2") if name.endswith("2") else name + "2"] for name in values}
    return Pair("role", template.format(**values), template.format(**turned))


def _revalued(dice: random.Random, kind: str, template: str, slot: str) -> Pair:
    values = _drawn(dice)
    return Pair(kind, template.format(**values), template.format(**values | {slot: values[slot + "2"]}))


def _filled(dice: random.Random, kind: str, templates: tuple[str, str]) -> Pair:
    values = _drawn(dice)
    one, other = templates if dice.random() < 0.5 else templates[::-1]
    return Pair(kind, one.format(**values), other.format(**values))


def paraphrases(question: str) -> list[str]:
    """The question asked otherwise by templates that keep its sense."""
    bare = question.strip().rstrip("?").rstrip()
    low = bare[:1].lower() + bare[1:]
    forms = [
        f"Can you tell me {low}?",
        f"Please tell me: {low}?",
        f"I would like to know {low}.",
        f"{bare}, please?",
        f"Do you know {low}?",
        f"Hi, {low}?",
        bare,
        low,
        f"I was wondering {low}",
        f"Could you please explain {low}?",
        f"Quick question: {low}?",
        f"{bare.upper()}?" if len(bare) < 40 else f"Hello! {bare}? Thanks in advance.",
    ]
    contracted = (
        bare.replace("What is ", "What's ", 1).replace("Who is ", "Who's ", 1).replace("Where is ", "Where's ", 1)
    )
    if contracted != bare:
        forms.append(contracted + "?")
    if bare.startswith("How do I "):
        forms += [f"How can I {bare[9:]}?", f"What is the way to {bare[9:]}?"]
    if bare.startswith("In what year "):
        forms.append("In which year " + bare[13:] + "?")
    return [form for form in forms if form != question]


class GeneratedScores(Struct, frozen=True, kw_only=True):
    """Pairs that only look alike and pass the gates, and paraphrases that do not."""

    adversarial: int
    adversarial_served: int
    paraphrases: int
    paraphrases_refused: int


def score_generated(seed: int, n_pairs: int = 6_000) -> GeneratedScores:
    """Generates pairs and holds the gates against them."""
    pairs = adversarial_pairs(n_pairs, seed)
    forms = [(pair.one, form) for pair in pairs[: n_pairs // 10] for form in paraphrases(pair.one)]
    return GeneratedScores(
        adversarial=len(pairs),
        adversarial_served=sum(refused_by(pair.one, pair.other) is None for pair in pairs),
        paraphrases=len(forms),
        paraphrases_refused=sum(refused_by(question, form) is not None for question, form in forms),
    )
