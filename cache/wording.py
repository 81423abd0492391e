"""A question taken apart into what the gates compare. Pure, linear in its length, remembers the last few thousand."""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from cache import courtesy, lexicon

Kind = Literal["who", "when", "where", "why", "how", "amount", "thing", "whether", "none"]
Phrase = tuple[str, tuple[str, ...]]

POSSESSIVE: Final = "'s"
BREAK: Final = "|"
NAME: Final = "*"
"""Marks a name that is spelled like a function word."""
_PLAIN: Final = str.maketrans("\u2019\u2018\u2212", "''-")
_TOKEN: Final = re.compile(r"[^\W_]+(?:['.\-+#/_&@:][^\W_]+)*[+#]*|[$€£¥%°]|-(?=\d)|[<>=≤≥≠+*/^]")
_QUOTED: Final = re.compile(r"[\"“”«»„]([^\"“”«»„]{1,200})[\"“”«»„]|(?<!\w)'([^']{2,100})'(?!\w)|`([^`]{1,200})`")
_NUMBER: Final = re.compile(r"-?\d+(?:[.,]\d+)*")
_WAY: Final = re.compile(
    r"^(?:(?:what|which) (?:is |are |would be )?(?:the |some |a |an )*(?:ways?|methods?) "
    r"(?:to|of|for|(?:i|we|you|one) can)"
    r"|what (?:should|can|do|could|must) (?:i|we|you|one) do to)\b"
)
_KINDS: Final[dict[str, Kind]] = {
    "who": "who",
    "whom": "who",
    "whose": "who",
    "when": "when",
    "where": "where",
    "why": "why",
    "how": "how",
    "what": "thing",
    "which": "thing",
}
_AMOUNT: Final = frozenset(
    {"many", "much", "long", "far", "often", "old", "tall", "big", "high", "deep", "fast", "large"}
)
_TIMES: Final = frozenset({"year", "date", "day", "month", "century", "decade"})
_AUXILIARY: Final = frozenset(
    {"is", "are", "was", "were", "am", "do", "does", "did", "can", "could", "will", "would", "shall", "should", "may"}
    | {"might", "must", "has", "have", "had"}
)
_OPENINGS: Final = {tuple(phrase.split()) for phrase in courtesy.OPENINGS}
_CLOSINGS: Final = {tuple(phrase.split()) for phrase in courtesy.CLOSINGS}
_LONGEST: Final = max(map(len, _OPENINGS | _CLOSINGS))


class Wording(Struct, frozen=True, kw_only=True):
    """What one question says. Words are lower case; `content` is stems in order, without words that carry nothing.

    A phrase is a run of content with the preposition before it; pictograms count among the numbers.
    """

    kind: Kind
    words: tuple[str, ...]
    content: tuple[str, ...]
    phrases: tuple[Phrase, ...]
    numbers: tuple[str, ...]
    names: frozenset[str]
    quotes: tuple[str, ...]
    scripts: frozenset[str]

    def count(self, among: frozenset[str]) -> Counter[str]:
        """How often each of some words occurs."""
        return Counter(word for word in self.words if word in among)


@lru_cache(maxsize=8_192)
def worded(question: str) -> Wording:
    """The question taken apart."""
    text = unicodedata.normalize("NFKC", question).translate(_PLAIN).strip()
    raw = _TOKEN.findall(text)
    words = _core(_plain(raw))
    kind, rest = _asked(words)
    stems = _stems(rest)
    return Wording(
        kind=kind,
        words=tuple(words),
        content=tuple(filter(None, stems)),
        phrases=_phrases(rest, stems),
        numbers=tuple(sorted([*_numbers(words), *(sign for sign in text if unicodedata.category(sign) == "So")])),
        names=_names(raw),
        quotes=tuple(sorted(next(filter(None, found)).strip(" .,?!").lower() for found in _QUOTED.findall(text))),
        scripts=frozenset(_script(letter) for letter in text if letter.isalpha()),
    )


def _plain(raw: list[str]) -> list[str]:
    """Lower case, contractions undone, possessives marked by a word of their own."""
    words: list[str] = []
    for at, token in enumerate(raw):
        word = token.lower()
        if _is_name(raw, at):
            words.append(word + NAME)
            continue
        if word in lexicon.CONTRACTIONS:
            words += lexicon.CONTRACTIONS[word].split()
            continue
        for suffix, whole in lexicon.SUFFIXES.items():
            if word.endswith(suffix) and len(word) > len(suffix):
                word = word[: -len(suffix)] + whole
                break
        owner = word.removesuffix("'s").removesuffix("'")
        words += [*owner.split(), *((POSSESSIVE,) if owner != word else ())]
    return words


def _is_name(raw: list[str], at: int) -> bool:
    """Whether what looks like a function word is a name by its capitals: US, IT, vitamin A, World War I."""
    token = raw[at]
    if not at or sum(each.isupper() for each in raw) > len(raw) // 2:
        return False
    if token in {"May", "Will"}:
        return True
    if not token.isupper() or token.lower() not in lexicon.FUNCTION:
        return False
    return at > 1 and raw[at - 1][0].isupper() if token == "I" else True  # noqa: S105 - a word, no secret


def _core(words: list[str]) -> list[str]:
    """The words without what only opens or closes a question. Something is always left."""
    while n := _opening(words):
        words = words[n:]
    while n := next((n for n in range(_LONGEST, 0, -1) if len(words) > n and tuple(words[-n:]) in _CLOSINGS), 0):
        words = words[:-n]
    return words


def _opening(words: list[str]) -> int:
    for n in range(min(_LONGEST, len(words) - 1), 0, -1):
        if tuple(words[:n]) in _OPENINGS:
            return n + (len(words) > n + 1 and words[n] in courtesy.JOINTS)
    return 0


def _asked(words: list[str]) -> tuple[Kind, list[str]]:
    """What is asked for, by the first question word, and the words with a BREAK in its place."""
    line = " ".join(words)
    way = _WAY.match(line)
    if way:
        return "how", [BREAK, *line[way.end() :].split()]
    if line.startswith("how come "):
        return "why", [BREAK, *words[2:]]
    for at, word in enumerate(words):
        kind = _KINDS.get(word)
        if kind is None:
            continue
        follows = words[at + 1] if at + 1 < len(words) else ""
        n_words = 1
        if kind == "how" and follows in _AMOUNT:
            kind = "amount"
        elif kind == "how" and follows == "to":
            n_words = 2
        elif kind == "thing" and follows in _TIMES:
            kind, n_words = "when", 2
        return kind, [*words[:at], BREAK, *words[at + n_words :]]
    return ("whether" if words and words[0] in _AUXILIARY else "none"), words


def _stems(words: list[str]) -> list[str]:
    """A stem for each word that carries content, else ""; two that are joined as equals in the alphabet's order."""
    stems = [stem(word) if _carries(words, at) else "" for at, word in enumerate(words)]
    for at, word in enumerate(words[1:-1], start=1):
        if word in lexicon.JOINING and stems[at - 1] and stems[at + 1]:
            stems[at - 1], stems[at + 1] = sorted((stems[at - 1], stems[at + 1]))
    return stems


def _carries(words: list[str], at: int) -> bool:
    """Whether a word has content. A form of "do" has where it stands alone, and not where it helps another verb."""
    word = words[at]
    if word in {"do", "does", "did"}:
        return at > 0 and (at + 1 == len(words) or words[at + 1] in lexicon.ROLES | lexicon.LOOSE)
    return word not in lexicon.FUNCTION and word not in lexicon.ROLES and word not in {POSSESSIVE, BREAK}


def _phrases(words: list[str], stems: list[str]) -> tuple[Phrase, ...]:
    """The content cut at prepositions, auxiliaries and the question word; "X's Y" is told as "Y of X"."""
    phrases: list[tuple[str, list[str]]] = [("", [])]
    for word, kept in zip(words, stems, strict=True):
        if kept:
            phrases[-1][1].append(kept)
        elif word in lexicon.ROLES or word in lexicon.LOOSE:
            phrases.append((word, []))
        elif word in _AUXILIARY or word == BREAK:
            phrases.append(("", []))
        elif word == POSSESSIVE:
            preposition, owner = phrases.pop()
            phrases += [("of", owner), (preposition, [])]
    return tuple((preposition, tuple(content)) for preposition, content in phrases if content or preposition)


def _numbers(words: list[str]) -> list[str]:
    numbers = []
    for word in words:
        if word in lexicon.NUMBER_WORDS:
            numbers.append(lexicon.NUMBER_WORDS[word])
        elif any(letter.isdigit() for letter in word):
            numbers.append(word.replace(",", "") if _NUMBER.fullmatch(word) else word)
        elif word in lexicon.MONTHS:
            numbers.append(lexicon.MONTHS[word])
    return numbers


def _names(raw: list[str]) -> frozenset[str]:
    """Tokens written with capitals, the first word apart; none where all or nothing is written so."""
    rest = [(at, token) for at, token in enumerate(raw) if at and token[0].isalpha()]
    capital = [(at, token) for at, token in rest if token != token.lower() and token.partition("'")[0] != "I"]
    if len(capital) > 0.7 * max(1, len(rest)):
        return frozenset()
    return frozenset(token.lower().removesuffix("'s") + (NAME if _is_name(raw, at) else "") for at, token in capital)


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "?").partition(" ")[0]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word without its inflection, lightly: plural, -ing, -ed, and known irregular forms."""
    word = lexicon.SAME.get(word, word)
    if word in lexicon.NUMBER_WORDS:
        return lexicon.NUMBER_WORDS[word]
    if any(letter.isdigit() for letter in word):
        return word
    if len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 3:
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    word = lexicon.SAME.get(word, word)
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
