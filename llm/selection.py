"""Which sentences become the answer, in which order, and how sure one may be of them. Pure."""

import math
import re
from collections.abc import Mapping, Sequence

from llm.evidence import Evidence, Sentence

# A sentence that scores this much below the best adds words, seldom the answer: of three sentences 2.7 are left and of
# the answers found less than a point goes (mean over the seven domains that `evidence` names, 2026-11-23).
TRAILING = 3.5
UNREAD = 0.7  # the nearness to assume when no scorer has read anything: the median of answerable questions
_LEANS_BACK = re.compile(r"(?:He|She|It|They|This|These|Those|That|Such|His|Her|Its|Their|Both|The latter)\b")


def chosen(evidence: Evidence, scores: Sequence[float], limit: int) -> list[Sentence]:
    """At most `limit` sentences in reading order: the best, and what they lean on where there is room.

    No text twice. A sentence that begins with a pronoun brings the one before it, when that would fill no place that
    a better sentence wants.
    """
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    picked: dict[str, int] = {}
    for index in order:
        if len(picked) == limit or scores[index] < scores[order[0]] - TRAILING:
            break
        picked.setdefault(evidence.sentences[index].text, index)
    for index in sorted(picked.values(), key=lambda index: -scores[index]):
        before = _leans_on(evidence.sentences, index)
        if before is not None and len(picked) < limit:
            picked.setdefault(evidence.sentences[before].text, before)
    return [evidence.sentences[index] for index in sorted(picked.values())]


def confidence(evidence: Evidence, scores: Sequence[float], nearness: Mapping[int, float]) -> float:
    """How likely it is, in 0..1, that the sources hold an answer.

    A logistic of the greatest nearness, the question's words that one source covers, and the lead of the best sentence
    over the next five. Fitted 2026-11-23 on questions whose gold document was among the sources and the same ones
    without it, half each, of Natural Questions, SelQA, PubMedQA, CLAPNQ, COVID-QA, MedQuAD and SQuAD's train part as
    ReQA has it, all seven weighing alike (3,016 and 3,179); SQuAD's dev part was only measured (docs/benchmarks.md).
    It knows no prior: where most questions can be answered it is too low.
    """
    if not scores:
        return 0.0
    best, *others = sorted(scores, reverse=True)[:6]
    lead = best - sum(others) / len(others) if others else 0.0
    near = max(nearness.values(), default=UNREAD)
    return 1 / (1 + math.exp(6.0 - 6.3 * near - 1.4 * evidence.coverage - 0.7 * lead))


def _leans_on(sentences: Sequence[Sentence], index: int) -> int | None:
    sentence = sentences[index]
    if index == 0 or not _LEANS_BACK.match(sentence.text):
        return None
    before = sentences[index - 1]
    return index - 1 if before.source == sentence.source and not before.is_fragment else None
