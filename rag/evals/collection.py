"""A judged collection in the layout of BEIR: corpus.jsonl, queries.jsonl, qrels."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from rag.base.errors import ConfigError

Line = TypeVar("Line")


class CorpusLine(msgspec.Struct, frozen=True):
    """A document."""

    id: str = msgspec.field(name="_id")
    text: str = msgspec.field(name="text")
    title: str = ""


class QueryLine(msgspec.Struct, frozen=True):
    """A query."""

    id: str = msgspec.field(name="_id")
    text: str = msgspec.field(name="text")


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """The judged queries, with their grades by document id, and where the corpus is."""

    name: str
    corpus: Path
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]

    def documents(self) -> Iterator[CorpusLine]:
        """The documents, one at a time. Raises ConfigError at a line that is none."""
        yield from _lines(self.corpus, CorpusLine)


def open_collection(folder: Path) -> Collection:
    """The collection in `folder`. Raises ConfigError that names what is missing or malformed."""
    qrels = read_qrels(folder)
    texts = {line.id: line.text for line in _lines(folder / "queries.jsonl", QueryLine)}
    judged = {
        query: grades for query, grades in qrels.items() if query in texts and any(g > 0 for g in grades.values())
    }
    if not judged:
        raise ConfigError(f"no query in {folder} has a relevant document in its qrels")
    corpus = folder / "corpus.jsonl"
    if not corpus.is_file():
        raise ConfigError(f"there is no {corpus}")
    queries = {query: texts[query] for query in judged}
    return Collection(name=folder.resolve().name, corpus=corpus, queries=queries, qrels=judged)


def read_qrels(folder: Path) -> dict[str, dict[str, int]]:
    """BEIR keeps them in qrels/test.tsv; flat folders call the file qrels.test.tsv."""
    for file in (folder / "qrels" / "test.tsv", folder / "qrels.test.tsv"):
        if file.is_file():
            return _parsed_qrels(file)
    raise ConfigError(f"there is neither qrels/test.tsv nor qrels.test.tsv in {folder}")


def _parsed_qrels(file: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.reader(stream, delimiter="\t"), start=1):
            if number == 1 and row[:1] == ["query-id"]:
                continue
            try:
                query, document, grade = row
                qrels.setdefault(query, {})[document] = int(grade)
            except ValueError as fault:
                raise ConfigError(f"{file} line {number}: expected query-id, corpus-id, score") from fault
    return qrels


def _lines(file: Path, kind: type[Line]) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(kind)
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    try:
                        yield decoder.decode(line)
                    except msgspec.DecodeError as fault:
                        raise ConfigError(f"{file} line {number}: {fault}") from fault
    except OSError as fault:
        raise ConfigError(f"cannot read {file}: {fault.strerror}") from fault
