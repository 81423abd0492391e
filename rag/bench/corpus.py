"""A collection to search: a judged one in BEIR's layout, and filler of its own sentences up to the size wanted."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from rag.base.errors import ConfigError

FILLER_SENTENCES = 2
"""Of one made-up passage, from two places: words and style of the corpus, and no answer."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Entry(Struct, frozen=True):
    """One line of `corpus.jsonl`, as `rag ingest` reads it."""

    _id: str
    title: str
    text: str


class _Query(Struct):
    text: str


def read_questions(folder: Path) -> list[str]:
    """The questions of the collection, in an order that is always the same. Raises ConfigError.

    Those of `questions-more.jsonl` are among them where it is there: no load should ask the same thing twice.
    """
    files = [folder / "queries.jsonl", folder / "questions-more.jsonl"]
    lines = [line for file in files if file == files[0] or file.is_file() for line in _lines(file)]
    questions = [msgspec.json.decode(line, type=_Query).text for line in lines]
    random.Random(0).shuffle(questions)  # noqa: S311 - neighbours in the file ask about one passage
    return questions


def read_entries(folder: Path) -> list[Entry]:
    """The documents of the collection. Raises ConfigError."""
    return [msgspec.json.decode(line, type=Entry) for line in _lines(folder / "corpus.jsonl")]


def filler(entries: list[Entry], n_passages: int, seed: int = 0) -> Iterator[Entry]:
    """Passages that answer nothing, each of sentences drawn from the entries; the same for the same seed."""
    sentences = [sentence for entry in entries for sentence in _SENTENCE.split(entry.text) if sentence]
    draw = random.Random(seed)  # noqa: S311 - a corpus, not a secret
    for number in range(n_passages):
        text = " ".join(draw.choice(sentences) for _ in range(FILLER_SENTENCES))
        yield Entry(f"filler-{number}", "Filler", text)


def write_corpus(folder: Path, n_passages: int, output: Path) -> None:
    """The collection and so much filler as one file for `rag ingest`."""
    entries = read_entries(folder)
    with output.open("wb") as file:
        for entry in [*entries, *filler(entries, n_passages)]:
            file.write(msgspec.json.encode(entry) + b"\n")


def _lines(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}; a collection has BEIR's layout") from error
