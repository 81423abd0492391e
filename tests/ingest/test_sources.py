import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from ingest.outcome import Failure
from ingest.sources import FileSource, S3Source, Source, StreamSource, find, instant
from rag.base.errors import InvalidInput


def found(*patterns: Path | str) -> list[Source | Failure]:
    return list(find([str(pattern) for pattern in patterns], BytesIO()))


def names(*patterns: Path | str) -> list[str]:
    return [each.uri.rpartition("/")[2] for each in found(*patterns)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.md", "a.txt", "sub/c.md", "sub/.hidden", ".git/config", "node_modules/x.js", "CVS/Root"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_folder_is_walked_by_name_without_hidden_things(folder: Path) -> None:
    assert names(folder) == ["a.txt", "b.md", "c.md"]


def test_every_file_comes_once_in_the_order_asked_for(folder: Path) -> None:
    assert names(folder / "b.md", folder, f"{folder}/*.md") == ["b.md", "a.txt", "c.md"]


def test_what_is_named_twice_comes_once_wherever_it_is() -> None:
    class Buckets:
        def find(self, pattern: str) -> Iterator[Source | Failure]:
            yield S3Source(uri="s3://b/x", bucket="b", key="x", size_bytes=1, modified_at=datetime.now(UTC))
            yield Failure(uri="s3://b/x", reason=f"{pattern} cannot be listed", transient=True)

    named = ["https://a.example/x#1", "-", "https://a.example/x#2", "s3://b/x", "-", "s3://b"]
    kinds = [type(each).__name__ for each in find(named, BytesIO(), Buckets())]
    assert kinds == ["UrlSource", "StreamSource", "S3Source", "Failure"], (
        "what could not be listed is told all the same"
    )


def test_globs_are_sorted_and_reach_down(folder: Path) -> None:
    assert names(f"{folder}/**/*.md") == ["b.md", "c.md"]


def test_a_pattern_that_matches_nothing_is_an_error(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="matches nothing"):
        found(f"{folder}/*.pdf")


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(InvalidInput, match="empty"):
        found("")


def test_a_name_with_brackets_is_a_name_where_it_exists(folder: Path) -> None:
    (folder / "[1].txt").write_text("x")
    assert names(folder / "[1].txt") == ["%5B1%5D.txt"]


def test_a_file_knows_its_uri_size_and_time(folder: Path) -> None:
    os.utime(folder / "a.txt", (1_000_000, 1_000_000))
    (source,) = found(folder / "sub" / ".." / "a.txt")
    assert isinstance(source, FileSource)
    assert source.uri == (folder / "a.txt").resolve().as_uri()
    assert (source.size_bytes, source.modified_at.timestamp()) == (5, 1_000_000)


@pytest.mark.parametrize("unix_s", [1e12, 1e30, -1e12])
def test_a_time_outside_of_the_calendar_is_replaced(unix_s: float) -> None:
    assert instant(unix_s) <= datetime.now(UTC)


def test_links_are_followed_once_and_loops_end(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "z.md").symlink_to(folder / "a.txt")
    assert names(folder) == ["a.txt", "b.md", "c.md"]


@pytest.mark.parametrize("pattern", ["", "/*", "/sub/**"])
def test_a_link_that_leads_out_is_a_failure(
    folder: Path, pattern: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Else whoever may write into the folder could have any file of this machine read, and ask about it."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.md").write_text("Secret.")
    (folder / "sub" / "file.md").symlink_to(outside / "secret.md")
    (folder / "sub" / "dir").symlink_to(outside)
    everything = found(f"{folder}{pattern}")
    failures = [one for one in everything if isinstance(one, Failure)]
    assert {one.uri.rpartition("/")[2] for one in failures} >= {"file.md", "dir"}
    assert all("leads out of" in one.reason for one in failures)
    assert not any("secret" in one.uri for one in everything if not isinstance(one, Failure))


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A file in more folders than Python calls functions within each other; shutil cannot remove them, rm can."""
    before = os.open(".", os.O_RDONLY)
    top = tmp_path / "d"
    try:
        os.chdir(tmp_path)
        for _ in range(1200):
            Path("d").mkdir()
            os.chdir("d")
        Path("deep.txt").write_text("x")
        os.fchdir(before)
        yield top
    finally:
        os.fchdir(before)
        os.close(before)
        subprocess.run(["rm", "-r", top], check=True)


def test_a_folder_is_walked_however_deep_it_is(deep: Path) -> None:
    """Whoever may make folders could end every run else."""
    assert names(deep) == ["deep.txt"]


def test_a_link_that_is_named_itself_is_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(folder)
    assert names(link) == names(folder)


def test_what_cannot_be_read_is_a_failure(folder: Path) -> None:
    (folder / "broken").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    failures = [each for each in found(folder, folder / "missing.txt") if isinstance(each, Failure)]
    assert [(each.uri.rpartition("/")[2], each.reason) for each in failures] == [
        ("broken", "it cannot be read: No such file or directory"),
        ("pipe", "it is neither a file nor a folder"),
        ("missing.txt", "it cannot be read: No such file or directory"),
    ]


def test_a_dash_is_standard_input() -> None:
    (source,) = found("-")
    assert isinstance(source, StreamSource)


def test_names_that_are_no_text_have_a_uri(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("x")
    assert names(tmp_path) == ["%FF.txt"]
