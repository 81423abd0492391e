import os
from io import BytesIO
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from ingest.outcome import Failure
from ingest.parse.pool import ParserPool
from ingest.read import SourceReader
from ingest.regular import open_regular
from ingest.sources import find
from rag.base.errors import TransientIngestError
from tests.indexing import stream


@pytest.fixture(params=["a.md"])
def found(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file as a walk found it, and another one of its name outside."""
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / request.param).write_text("Secret.")
    file = tmp_path.resolve() / "folder" / "sub" / request.param
    file.write_text("Hello.")
    return file


def replace_file(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.parent.parent.parent / "outside" / file.name)


def replace_folder(file: Path) -> None:
    file.unlink()
    file.parent.rmdir()
    file.parent.symlink_to(file.parent.parent.parent / "outside")


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


REPLACEMENTS = (replace_file, replace_folder, replace_by_pipe, replace_by_folder)


def n_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_file_that_is_as_it_was_found_is_opened(found: Path) -> None:
    with open_regular(str(found)) as file:
        assert file.read() == b"Hello."


@pytest.mark.parametrize("replace", REPLACEMENTS)
def test_what_was_put_in_its_place_is_not_read(found: Path, replace) -> None:
    replace(found)
    before = n_open()
    with pytest.raises((OSError, TransientIngestError)):
        open_regular(str(found))
    assert n_open() == before


@pytest.mark.parametrize("replace", REPLACEMENTS)
@pytest.mark.parametrize("found", ["a.md", "a.jsonl"], indirect=True)
async def test_nor_by_a_run_that_found_it_before(found: Path, replace) -> None:
    (source,) = find([str(found.parent.parent)], BytesIO())
    replace(found)
    config = IngestConfig(n_parsers=1, parse_timeout_s=20)
    async with ParserPool(config) as pool:
        (item,) = [item async for item in SourceReader(pool, config).read(stream([source]))]
    assert isinstance(item, Failure)
    assert item.transient
