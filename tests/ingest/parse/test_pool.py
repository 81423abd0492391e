"""Real processes: what a hang, a crash or a leak costs can only be seen with them."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from ingest.parse.pool import ParserPool
from rag.base.errors import PermanentIngestError, TransientIngestError

HOSTILE = """
import os, signal, sys, time
from ingest.parse import worker

def parse(data, name):
    if name == "hang.txt":
        while True: pass
    if name == "crash.txt":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "swell.txt":
        bytearray(2**32)
    if name == "print.txt":
        os.write(1, b"noise on stdout")
    if name == "raise.txt":
        raise ZeroDivisionError
    if name == "once.txt" and os.getpid() % 1 == 0 and worker.seen:
        os.abort()
    worker.seen = True
    return real(data, name)

worker.seen = False
real, worker.parse = worker.parse, parse
worker.main()
"""


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """The name of a module that runs the worker with a parser which misbehaves by the name of the file."""
    (tmp_path / "hostile_worker.py").write_text(HOSTILE)
    sys.path.append(str(tmp_path))
    yield "hostile_worker"
    sys.path.remove(str(tmp_path))


def config(**changes: object) -> IngestConfig:
    return IngestConfig(**{"n_parsers": 1, "parse_timeout_s": 20.0, "parse_memory_bytes": 2**28} | changes)


async def test_files_and_bytes_are_parsed_side_by_side(tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.md" for at in range(5)]
    for path in paths:
        path.write_text(f"# {path.stem}\n")
    async with ParserPool(config(n_parsers=2)) as pool:
        parsed = await asyncio.gather(*(pool.parse_file(str(path)) for path in paths))
        assert [each.title for each in parsed] == ["0", "1", "2", "3", "4"]
        assert (await pool.parse_bytes(b"<p>cat</p>", "a.html")).text == "cat\n"


async def test_a_name_that_is_no_utf8_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.md")
    path.write_text("# cat\n")
    async with ParserPool(config()) as pool:
        assert (await pool.parse_file(str(path))).title == "cat"


async def test_limits_and_missing_files_are_reasons(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 101)
    async with ParserPool(config(max_file_bytes=100)) as pool:
        with pytest.raises(PermanentIngestError, match="larger than the 100 bytes"):
            await pool.parse_file(str(tmp_path / "a.txt"))
        with pytest.raises(TransientIngestError, match="No such file"):
            await pool.parse_file(str(tmp_path / "b.txt"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash.txt", "crashed over it with SIGSEGV"),
        ("swell.txt", "more memory than parse_memory_bytes"),
        ("raise.txt", "the parser failed with ZeroDivisionError"),
    ],
)
async def test_a_fault_costs_its_document_only(hostile: str, name: str, reason: str) -> None:
    async with ParserPool(config(), module=hostile) as pool:
        assert (await pool.parse_bytes(b"cat", "a.txt")).text == "cat"
        with pytest.raises(PermanentIngestError, match=reason):
            await pool.parse_bytes(b"x", name)
        assert (await pool.parse_bytes(b"mat", "b.txt")).text == "mat"


async def test_a_hang_is_ended_and_the_process_replaced(hostile: str) -> None:
    async with ParserPool(config(parse_timeout_s=1.5), module=hostile) as pool:
        with pytest.raises(PermanentIngestError, match=r"more than the 1\.5 s"):
            await pool.parse_bytes(b"x", "hang.txt")
        assert (await pool.parse_bytes(b"cat", "a.txt")).text == "cat"


async def test_what_a_parser_prints_does_not_disturb(hostile: str) -> None:
    async with ParserPool(config(), module=hostile) as pool:
        assert (await pool.parse_bytes(b"cat", "print.txt")).text == "cat"


async def test_a_crash_that_an_earlier_file_may_have_caused_is_tried_again(hostile: str) -> None:
    async with ParserPool(config(), module=hostile) as pool:
        await pool.parse_bytes(b"cat", "a.txt")
        assert (await pool.parse_bytes(b"mat", "once.txt")).text == "mat"


async def test_a_caller_that_leaves_takes_its_process_along(hostile: str) -> None:
    async with ParserPool(config(), module=hostile) as pool:
        task = asyncio.create_task(pool.parse_bytes(b"x", "hang.txt"))
        await pool.parse_bytes(b"x", "a.txt") if pool._permits.locked() else await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await pool.parse_bytes(b"cat", "a.txt")).text == "cat"


async def test_processes_are_given_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "spy_worker.py").write_text(
        "import os\nfrom ingest.parse import worker\nfrom ingest.parse.parsed import Parsed\n"
        "worker.parse = lambda data, name: Parsed(text=' '.join(sorted(os.environ)), format='text')\nworker.main()\n"
    )
    sys.path.append(str(tmp_path))
    os.environ["RAG__TEST_SECRET"] = "x"
    try:
        async with ParserPool(config(), module="spy_worker") as pool:
            assert "RAG__TEST_SECRET" not in (await pool.parse_bytes(b"x", "a.txt")).text
    finally:
        del os.environ["RAG__TEST_SECRET"]
        sys.path.remove(str(tmp_path))
