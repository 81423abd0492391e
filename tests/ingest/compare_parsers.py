"""`python -m tests.ingest.compare_parsers FOLDER PYTHON`: our parser beside markitdown, which PYTHON can import.

Both read every file of the folder one after another. Recall is the share of the other's words, each as often as it
occurs there, that are found; markup is left out of account because only words count.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from msgspec import Struct

from ingest.config import IngestConfig
from ingest.parse.pool import ParserPool
from rag.base.errors import IngestError

PEER = """
import json, sys, time
from markitdown import MarkItDown
reader = MarkItDown()
for path in sys.argv[1:]:
    began = time.perf_counter()
    try:
        text, reason = reader.convert(path).text_content, ""
    except Exception as error:
        text, reason = "", type(error).__name__
    print(json.dumps([text, reason, time.perf_counter() - began]), flush=True)
"""
MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|!?\[[^\]]*\]\(data:[^)]*\)|\]\([^)]*\)")


class Read(Struct, frozen=True):
    """What came of one file; without text the reason."""

    text: str
    reason: str
    seconds: float

    def words(self) -> Counter[str]:
        return Counter(re.findall(r"\w+", MARKUP.sub(" ", self.text).lower()))


async def ours(files: list[Path]) -> list[Read]:
    found = []
    async with ParserPool(IngestConfig(n_parsers=1)) as pool:
        for file in files:
            began_s = time.perf_counter()
            try:
                text, reason = (await pool.parse_file(str(file))).text, ""
            except IngestError as error:
                text, reason = "", str(error)
            found.append(Read(text, reason, time.perf_counter() - began_s))
    return found


def theirs(python: str, files: list[Path]) -> list[Read]:
    done = subprocess.run(
        [python, "-W", "ignore", "-c", PEER, *map(str, files)], stdout=subprocess.PIPE, text=True, check=True
    )
    return [Read(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


def recall(found: Counter[str], wanted: Counter[str]) -> str:
    return f"{(found & wanted).total() / wanted.total():7.1%}" if wanted else "      -"


def main(folder: str, python: str) -> None:
    files = sorted(file for file in Path(folder).iterdir() if file.is_file() and file.name != "README")
    left, right = asyncio.run(ours(files)), theirs(python, files)
    print(f"{'file':52} {'ours s':>7} {'peer s':>7} {'ours':>8} {'peer':>8} {'recall':>7} {'peer':>7}")  # noqa: T201 - a command
    for file, one, other in zip(files, left, right, strict=True):
        a, b = one.words(), other.words()
        line = f"{file.name[:52]:52} {one.seconds:7.2f} {other.seconds:7.2f} {a.total():8} {b.total():8}"
        print(line, recall(a, b), recall(b, a), one.reason, f"({other.reason})" if other.reason else "")  # noqa: T201 - a command
    for name, read in (("ours", left), ("peer", right)):
        n_read = sum(bool(each.text.strip()) for each in read)
        print(f"{name}: {n_read} of {len(files)} read in {sum(each.seconds for each in read):.1f} s")  # noqa: T201 - a command
    both = [(a.words(), b.words()) for a, b in zip(left, right, strict=True) if a.text.strip() and b.text.strip()]
    every_a, every_b = sum((a for a, _ in both), Counter()), sum((b for _, b in both), Counter())
    shared = sum((a & b).total() for a, b in both)
    shares = f"ours {shared / every_b.total():.1%}, peer {shared / every_a.total():.1%}"
    print(f"recall of the other's words in the {len(both)} files that both read: {shares}")  # noqa: T201 - a command


if __name__ == "__main__":
    main(*sys.argv[1:])
