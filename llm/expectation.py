"""What a question's opening words promise of its answer: a date after "when", a number after "how many".

Written by hand with questions of Natural Questions and SQuAD's dev part in view, 2026-11; nothing here is fitted.
"""

import re

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
)
_NUMBER_WORD = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    r"|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|dozen"
    r"|half|third|quarter|several|none|single|double|both|once|twice)s?"
)
_DATE = re.compile(
    rf"\b(?:1\d{{3}}|20\d{{2}})s?\b|\b\d{{1,4}} ?(?:BC|AD|CE|BCE)\b|\bcentur(?:y|ies)\b|\b{_MONTH}\b"
    r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b|\b\d{1,2}:\d\d\b|\b\d{1,2} ?[ap]\.?m\b"
    r"|\b(?:daily|weekly|monthly|yearly|annually|summer|winter|spring|autumn)\b"
)
_NUMBER = re.compile(rf"\d|\b{_NUMBER_WORD}\b", re.IGNORECASE)
_MONEY = re.compile(
    r"[$£€¥]\s?\d|\b\d[\d,.]*\s*(?:dollars?|euros?|pounds?|cents?|million|billion|USD|EUR|GBP)\b|\bfree\b"
)
_PERCENT = re.compile(r"%|\bper ?cent\b|\b(?:half|third|quarter|all|none)s?\b", re.IGNORECASE)
_REASON = re.compile(
    r"\b(?:because|since|due to|owing to|caused?|causes|result|therefore|thus|so that|in order to|reason|led to"
    r"|to (?:avoid|prevent|protect|make|allow|ensure|keep))\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<=[a-z,;:)\"'] )[\"'(\u201c]?[A-Z][\w'-]+|^[A-Z][\w'-]+ [A-Z][\w'-]+")
_PLACE = re.compile(
    r"\b(?:in|at|near|from|of|to|on|along|between|across|inside|under|behind)\s+(?:the\s+)?(?:[a-z-]+ )?[A-Z]"
)

_ASKS_DATE = (
    r"\bwhen\b|\b(?:what|which)\s+(?:\w+\s+)?(?:years?|dates?|months?|days?|decades?|century|era)\b"
    r"|\bhow long ago\b|\bwhat time\b"
)
_ASKS_MONEY = r"\bhow much (?:money|\w+ \w+(?: \w+)? (?:cost|pay|earn|worth))|\b(?:price|fee|costs?)\b.*\?"
_ASKS_PERCENT = r"\bwhat percent|\bpercentage\b|\bproportion\b|\bwhat fraction"
_ASKS_NUMBER = (
    r"\bhow (?:many|much|long|old|far|tall|high|big|large|wide|deep|fast|often|heavy|hot|cold)\b|\bwhat number\b"
    r"|\bwhat (?:is|was) the (?:\w+ )?(?:number|population|area|size|distance|length|height|age|rate|temperature"
    r"|total|amount|limit)\b"
)
_ASKS_REASON = r"\bwhy\b|\bwhat (?:was |is )?(?:the )?(?:reason|cause)"
_ASKS_NAME = (
    r"\bwho(?:m|se)?\b|\b(?:what|which) (?:person|man|woman|king|queen|president|author|player|singer|band"
    r"|company|team|scientist|philosopher|actor|actress)\b"
)
_ASKS_PLACE = (
    r"\bwhere\b|\b(?:what|which) (?:\w+ )?(?:city|country|state|place|town|county|region|river|location"
    r"|continent|nation|district|street|university|school|island)\b"
)

_RULES = (
    (re.compile(_ASKS_DATE, re.IGNORECASE), _DATE),
    (re.compile(_ASKS_MONEY, re.IGNORECASE), _MONEY),
    (re.compile(_ASKS_PERCENT, re.IGNORECASE), _PERCENT),
    (re.compile(_ASKS_NUMBER, re.IGNORECASE), _NUMBER),
    (re.compile(_ASKS_REASON, re.IGNORECASE), _REASON),
    (re.compile(_ASKS_NAME, re.IGNORECASE), _NAME),
    (re.compile(_ASKS_PLACE, re.IGNORECASE), _PLACE),
)


def expectation(question: str) -> re.Pattern[str] | None:
    """What an answering sentence should hold, as a pattern to search it for; None where the question promises nothing.

    Of the rules that apply, the first wins: "when" says more than "who". English only; others expect nothing.
    """
    return next((expects for asks, expects in _RULES if asks.search(question)), None)
