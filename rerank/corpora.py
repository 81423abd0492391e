"""The training sets of the reranker, read into one shape: a question and the passage that answers it.

Each reader takes the folder with the files and gives its pairs in file order. A pair names its document, so that a
negative is never taken from the passage's own document, and the answer strings, so that a negative never holds one.
Sets of sentences also give windows of several sentences, because the index serves chunks and not sentences.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

WINDOW_WORDS = 130
MAX_PASSAGE_WORDS = 170
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'])")
_TREEBANK = (
    (re.compile(r"\s*``\s*"), ' "'),
    (re.compile(r"\s*''"), '"'),
    (re.compile(r"\s+([,.;:?!%)\]])"), r"\1"),
    (re.compile(r"([(\[$])\s+"), r"\1"),
    (re.compile(r"\s+('s|'t|'re|'ve|'ll|'d|n't)\b"), r"\1"),
    (re.compile(r"(\w) - (\w)"), r"\1-\2"),
)


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A question and a passage that answers it."""

    dataset: str
    question: str
    passage: str
    document: str
    title: str = ""
    answers: tuple[str, ...] = ()


def detokenise(text: str) -> str:
    """Running text from Penn Treebank tokens."""
    for pattern, replacement in _TREEBANK:
        text = pattern.sub(replacement, text)
    return text.strip()


def clip(text: str, n_words: int = MAX_PASSAGE_WORDS) -> str:
    """The first words of a text, with single spaces."""
    return " ".join(text.split()[:n_words])


def split_sentences(text: str) -> list[str]:
    """Sentences by punctuation: crude, and good enough to cut windows."""
    return [part.strip() for part in _SENTENCE_END.split(" ".join(text.split())) if part.strip()]


def window(sentences: Sequence[str], at: int, n_words: int = WINDOW_WORDS) -> str:
    """Sentence `at` with its neighbours, alternately after and before, while they fit in `n_words`."""
    first = last = at
    used = len(sentences[at].split())
    forward = True
    while first > 0 or last < len(sentences) - 1:
        grow = last + 1 if (forward and last < len(sentences) - 1) or first == 0 else first - 1
        used += len(sentences[grow].split())
        if used > n_words:
            break
        first, last, forward = min(first, grow), max(last, grow), not forward
    return " ".join(sentences[first : last + 1])


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def read_squad(folder: Path) -> Iterator[Pair]:
    """Wikipedia questions with the sentence that answers them."""
    for number, row in enumerate(_lines(folder / "reqa/squad.train.jsonl")):
        yield Pair(dataset="squad", question=row["question"], passage=row["answer"], document=f"squad-{number}")


def read_bioasq(folder: Path) -> Iterator[Pair]:
    """Biomedical questions with a snippet; questions repeat, each time with another good snippet."""
    for row in _lines(folder / "reqa/bioasq9b.train.jsonl"):
        question = row["question"]
        yield Pair(dataset="bioasq", question=question, passage=clip(row["answer"]), document=question)


def read_nq(folder: Path) -> Iterator[Pair]:
    """Search-engine questions with the Wikipedia passage."""
    for row in _lines(folder / "nq-open-oracle.jsonl"):
        gold = next((context for context in row["ctxs"] if context.get("isgold")), None)
        if gold and len(gold["text"].split()) >= 8:
            yield Pair(
                dataset="nq", question=row["question"], passage=clip(gold["text"]), document=gold["title"],
                title=gold["title"], answers=tuple(row["answers"]),
            )  # fmt: skip  # a long list of plain fields reads better unexploded


def read_qed(folder: Path) -> Iterator[Pair]:
    """Search-engine questions with a paragraph."""
    for row in _lines(folder / "qed-dev.jsonl"):
        answers = tuple(detokenise(answer) for group in row["answers"] for answer in group)
        yield Pair(
            dataset="qed", question=row["question"], passage=clip(detokenise(row["paragraph"])),
            document=row["title"], title=row["title"], answers=answers,
        )  # fmt: skip  # a long list of plain fields reads better unexploded


def read_clapnq(folder: Path) -> Iterator[Pair]:
    """Search-engine questions with a passage whose answer is several sentences long."""
    for row in _lines(folder / "clapnq.dev_answerable.jsonl"):
        passage = row["passages"][0]
        text = clip(detokenise(passage["text"]))
        title = passage["title"]
        yield Pair(dataset="clapnq", question=row["input"], passage=text, document=title, title=title)


def read_selqa(folder: Path) -> Iterator[Pair]:
    """Wikipedia questions with the right sentence of a section, every second time as a window of sentences."""
    for name in ("selqa-ass-dev.jsonl", "selqa-ass-test.jsonl"):
        for number, row in enumerate(_lines(folder / name)):
            if not row["answers"]:
                continue
            at = row["answers"][0]
            sentence = row["candidates"][at]
            passage = sentence if number % 2 else window(row["candidates"], at)
            yield Pair(
                dataset="selqa", question=row["question"], passage=clip(passage), title=row["article"],
                document=f"{row['article']}/{row['section']}", answers=(sentence,),
            )  # fmt: skip  # a long list of plain fields reads better unexploded


def read_policyqa(folder: Path) -> Iterator[Pair]:
    """Questions on privacy policies; they fit every policy, so the site's name is made part of the question."""
    for row in _lines(folder / "policyqa.dev.jsonl"):
        if len(row["context"].split()) >= 12:
            site = row["title"]
            yield Pair(
                dataset="policyqa", question=f"{row['question']} ({site})", passage=clip(row["context"]),
                document=f"{site}/{row['question']}", title=site, answers=tuple(row["answers"]),
            )  # fmt: skip  # a long list of plain fields reads better unexploded


def read_pubmedqa(folder: Path) -> Iterator[Pair]:
    """Research questions, and the conclusions as claims, with the abstract (which ends before its conclusion)."""
    for row in _lines(folder / "pubmedqa.jsonl"):
        abstract = clip(" ".join(row["contexts"]))
        yield Pair(dataset="pubmedqa", question=row["question"], passage=abstract, document=row["pmid"])
        claim = split_sentences(row["long_answer"])[-1]
        yield Pair(dataset="pubmed-claim", question=clip(claim, 50), passage=abstract, document=row["pmid"])


def read_covidqa(folder: Path) -> Iterator[Pair]:
    """Expert questions with the part of the article that answers, and article titles with the abstract."""
    for article in json.loads((folder / "covidqa.json").read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            title = context.strip().split("\n", 1)[0].strip()
            for question in paragraph["qas"]:
                answer = question["answers"][0]
                yield Pair(
                    dataset="covidqa", question=question["question"], document=title,
                    passage=cut_around(context, answer["answer_start"]), answers=(answer["text"].strip(),),
                )  # fmt: skip  # a long list of plain fields reads better unexploded
            abstract = context.find("Abstract:")
            if abstract >= 0 and title:
                text = clip(context[abstract + len("Abstract:") :])
                yield Pair(dataset="pubmed-claim", question=title, passage=text, document=title)


def cut_around(text: str, at: int, n_words: int = WINDOW_WORDS) -> str:
    """About `n_words` words of `text` around character `at`: a third of them before it, whole words only."""
    before = text[:at].split()[-n_words // 3 :]
    after = text[at:].split()[: n_words - len(before)]
    return " ".join(before + after)


def read_medquad(folder: Path) -> Iterator[Pair]:
    """Consumer health questions with the answer's beginning, and sentences of it with the rest (inverse cloze).

    Many answers are boilerplate that never names the condition asked about; those pairs teach nothing and are left out.
    """
    for number, row in enumerate(_lines(folder / "medquad.jsonl")):
        focus, sentences = row["focus"] or "", split_sentences(row["answer"])
        passage = clip(row["answer"])
        if len(passage.split()) < 12 or not mentions(passage, focus):
            continue
        question = re.sub(r"\s+([?.,])", r"\1", row["question"]).replace("What is (are)", "What is")
        yield Pair(dataset="medquad", question=question, passage=passage, document=focus)
        if number % 6 == 0 and len(sentences) > 4 and mentions(sentences[2], focus) and len(sentences[2].split()) <= 40:
            rest = clip(" ".join(sentences[:2] + sentences[3:]), WINDOW_WORDS)
            yield Pair(dataset="cloze", question=sentences[2], passage=rest, document=focus)


def mentions(text: str, name: str) -> bool:
    """Whether a text holds one of the longer words of a name."""
    folded = text.casefold()
    return any(word in folded for word in name.casefold().split() if len(word) > 3)


def read_debian(folder: Path) -> Iterator[Pair]:
    """Short descriptions of software with the long one; packages built from one source share their text."""
    for number, row in enumerate(_lines(folder / "debian-descriptions.jsonl")):
        text = re.sub(r"\n\s*\.?\s*\n", "\n", row["long"])
        if number % 8 == 0 and len(text.split()) >= 15 and "transitional" not in row["short"]:
            document = re.sub(r"[\d.+-].*$", "", row["package"].removeprefix("lib"))
            yield Pair(dataset="debian", question=row["short"], passage=clip(text), document=document)


READERS: tuple[Callable[[Path], Iterator[Pair]], ...] = (
    read_squad, read_bioasq, read_nq, read_qed, read_clapnq, read_selqa, read_policyqa, read_pubmedqa, read_covidqa,
    read_medquad, read_debian,
)  # fmt: skip  # a long list of names reads better unexploded
FILES = (
    "reqa/squad.train.jsonl", "reqa/bioasq9b.train.jsonl", "nq-open-oracle.jsonl", "qed-dev.jsonl",
    "clapnq.dev_answerable.jsonl", "selqa-ass-dev.jsonl", "selqa-ass-test.jsonl", "policyqa.dev.jsonl",
    "pubmedqa.jsonl", "covidqa.json", "medquad.jsonl", "debian-descriptions.jsonl",
)  # fmt: skip  # a long list of names reads better unexploded


def read_all(folder: Path) -> list[Pair]:
    """Every pair of every set, without repeats of the same question and passage."""
    seen: set[tuple[str, str]] = set()
    pairs = []
    for pair in (pair for reader in READERS for pair in reader(folder)):
        key = (pair.question.casefold(), pair.passage)
        if key not in seen:
            seen.add(key)
            pairs.append(pair)
    return pairs


CREDITS: tuple[dict[str, str], ...] = (
    {"name": "SQuAD 1.1, train part, as in ReQA", "authors": "Rajpurkar et al. 2016; Ahmad et al. 2019",
     "licence": "CC BY-SA 4.0", "files": "reqa/squad.train.jsonl"},
    {"name": "BioASQ 9b, as in ReQA", "authors": "Tsatsaronis et al. 2015; Krithara et al. 2023",
     "licence": "CC BY 2.5", "files": "reqa/bioasq9b.train.jsonl"},
    {"name": "MedQuAD", "authors": "Ben Abacha and Demner-Fushman 2019", "licence": "CC BY 4.0",
     "files": "medquad.jsonl"},
    {"name": "SelQA", "authors": "Jurczyk, Zhai and Choi 2016", "licence": "Apache-2.0", "files": "selqa-ass-*.jsonl"},
    {"name": "PolicyQA", "authors": "Ahmad et al. 2020", "licence": "MIT", "files": "policyqa.dev.jsonl"},
    {"name": "Natural Questions (open), gold passages", "authors": "Kwiatkowski et al. 2019; Lee et al. 2019",
     "licence": "MIT; passages from Wikipedia CC BY-SA 3.0", "files": "nq-open-oracle.jsonl"},
    {"name": "QED", "authors": "Lamm et al. 2021", "licence": "CC BY-SA 3.0", "files": "qed-dev.jsonl"},
    {"name": "PubMedQA", "authors": "Jin et al. 2019", "licence": "MIT", "files": "pubmedqa.jsonl"},
    {"name": "COVID-QA", "authors": "Moeller et al. 2020", "licence": "Apache-2.0", "files": "covidqa.json"},
    {"name": "CLAP NQ", "authors": "Rosenthal et al. 2024", "licence": "Apache-2.0",
     "files": "clapnq.dev_answerable.jsonl"},
    {"name": "Debian package descriptions", "authors": "the Debian project and its maintainers",
     "licence": "free, each follows its package", "files": "debian-descriptions.jsonl"},
)  # fmt: skip  # one row for each set
"""Whom to credit for the weights that are trained on these sets; it goes into the model card."""
