"""Where documents come from: files, folders, patterns, urls, buckets and standard input."""

import glob
import itertools
import os
import stat
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote, unquote, urldefrag, urlsplit
from urllib.request import url2pathname

from msgspec import Struct

from ingest.outcome import Failure
from rag.base.errors import InvalidInput

STDIN = "-"
S3 = "s3://"
SKIPPED_FOLDERS = frozenset({"CVS", "_darcs", "__pycache__", "node_modules"})
"""Beside those whose name begins with a dot, such as .git, .hg and .venv."""


RECENT_S = 2.0
"""A file may change again within the resolution of its time stamps; so long after a change they prove nothing."""


class FileSource(Struct, frozen=True, kw_only=True):
    """A file. `uri` is that of the file itself: the same by whatever path, link or pattern it was found.

    While `stamp` stays the same its content does; it is empty where that cannot be told.
    """

    uri: str
    path: str
    size_bytes: int
    modified_at: datetime
    stamp: str = ""


class StreamSource(Struct, frozen=True, kw_only=True):
    """JSONL that somebody else opened, such as standard input."""

    uri: str
    stream: BinaryIO
    stamp: str = ""


class UrlSource(Struct, frozen=True, kw_only=True):
    """A page or file on the web. Without a stamp: it is fetched each time, and indexed when its content is another."""

    uri: str
    stamp: str = ""


class S3Source(Struct, frozen=True, kw_only=True):
    """An object of S3-compatible storage. `stamp` is another one when its content is."""

    uri: str
    bucket: str
    key: str
    size_bytes: int
    modified_at: datetime
    stamp: str = ""


Source = FileSource | StreamSource | UrlSource | S3Source


class Bucketed(Protocol):
    """What is known of buckets; `ingest.s3` is it."""

    def find(self, pattern: str) -> Iterator[S3Source | Failure]:
        """The objects that an s3:// url names."""
        ...


def find(patterns: Sequence[str], stdin: BinaryIO, buckets: Bucketed | None = None) -> Iterator[Source | Failure]:
    """The sources that paths, globs, urls and "-" name: in the order given, folders by name, each of them once.

    What is missing or unreadable is a Failure, and so is a link that leads out of the folder that was named: whoever
    may write there could have any file of this machine read. Raises InvalidInput for a pattern that is empty or matches
    nothing.
    """
    seen: set[tuple[str, bool]] = set()
    for pattern in patterns:
        for found in _named(pattern, stdin, buckets):
            known = found.uri, isinstance(found, Failure)  # an object may be there while what is below it fails
            if known not in seen:
                seen.add(known)
                yield found


def _named(pattern: str, stdin: BinaryIO, buckets: Bucketed | None) -> Iterator[Source | Failure]:
    if pattern == STDIN:
        yield StreamSource(uri="stdin:", stream=stdin)
    elif is_url(pattern):
        yield UrlSource(uri=urldefrag(pattern).url)
    elif is_s3(pattern):
        if buckets is None:
            raise InvalidInput("s3:// is not read here")
        yield from buckets.find(pattern)
    else:
        root = _root(pattern)
        for path in _expanded(pattern):
            yield from _walk(path, root)


def scope_of(pattern: str) -> str:
    """The uri that everything found by the path, glob or url is or lies below."""
    if is_url(pattern):
        return urldefrag(pattern).url
    if is_s3(pattern):
        return S3 + quote(pattern.removeprefix(S3)).rstrip("/")
    return _uri(_root(pattern))


def argument_of(uri: str) -> str | None:
    """What names this source among the arguments of a run; None for a stream, which is gone."""
    if is_url(uri):
        return uri
    if is_s3(uri):
        return unquote(uri)
    return url2pathname(urlsplit(uri).path) if uri.startswith("file:") else None


def is_there(uri: str) -> bool:
    """Whether the file of that uri still exists; of anything else nobody knows, so it counts as there."""
    return not uri.startswith("file:") or os.path.lexists(url2pathname(urlsplit(uri).path))


def is_url(pattern: str) -> bool:
    """Whether it names something on the web."""
    return pattern.lower().startswith(("http://", "https://"))


def is_s3(pattern: str) -> bool:
    """Whether it names objects of S3-compatible storage."""
    return pattern.startswith(S3)


def is_passed_over(name: str) -> bool:
    """Whether a folder is walked without what has this name."""
    return name.startswith(".") or name in SKIPPED_FOLDERS


def _root(pattern: str) -> str:
    """The file or folder that the path names, links resolved; of a pattern the folder before the first sign."""
    path = os.path.expanduser(pattern)  # noqa: PTH111 - a pattern is not a path
    if not os.path.lexists(path) and glob.has_magic(path):
        parts = itertools.takewhile(lambda part: not glob.has_magic(part), Path(path).parts)
        path = str(Path(*parts))
    return os.path.realpath(path)


def _expanded(pattern: str) -> list[str]:
    if not pattern:
        raise InvalidInput("an empty path names nothing; write . for the current folder")
    path = os.path.expanduser(pattern)  # noqa: PTH111 - a pattern is not a path
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
    if not matches:
        raise InvalidInput(f"the pattern '{pattern}' matches nothing")
    return matches


def _walk(path: str, root: str) -> Iterator[FileSource | Failure]:
    """The file, or what is in the folder and below it, however deep."""
    waiting: list[tuple[str, frozenset[str]]] = [(path, frozenset())]
    while waiting:
        path, parents = waiting.pop()
        found = _at(path, parents, root)
        if isinstance(found, _Folder):
            within = parents | {found.path}
            waiting += [(os.path.join(found.path, name), within) for name in reversed(found.names)]  # noqa: PTH118
        else:
            yield found


class _Folder(Struct, frozen=True):
    path: str
    names: Sequence[str]


def _at(path: str, parents: frozenset[str], root: str) -> FileSource | Failure | _Folder:
    """What is there. `parents` are the folders around it, links resolved: one of them has no names a second time."""
    try:
        resolved = os.path.realpath(path, strict=True)
        if os.path.commonpath([resolved, root]) != root:
            return _failure(
                path, f"it is a link that leads out of {root}; name what it leads to as a source of its own"
            )
        status = os.stat(resolved)  # noqa: PTH116 - as the lines around it
        if stat.S_ISDIR(status.st_mode):
            names = [] if resolved in parents else sorted(os.listdir(resolved))  # noqa: PTH208 - as above
            return _Folder(resolved, [name for name in names if not is_passed_over(name)])
        if not stat.S_ISREG(status.st_mode):
            return _failure(path, "it is neither a file nor a folder")
        return _file(resolved, status)
    except OSError as error:
        return _failure(path, f"it cannot be read: {error.strerror or type(error).__name__}")


def _file(resolved: str, status: os.stat_result) -> FileSource:
    modified_at = instant(status.st_mtime)
    return FileSource(
        uri=_uri(resolved),
        path=resolved,
        size_bytes=status.st_size,
        modified_at=modified_at,
        stamp=_stamp(status, time.time()),
    )


def _stamp(status: os.stat_result, now_s: float) -> str:
    """Size and times; the time of the last change of the inode tells of a file that was replaced by an older one."""
    if max(status.st_mtime, status.st_ctime) > now_s - RECENT_S:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def instant(unix_s: float) -> datetime:
    """The time that a file system tells; now for one beyond the year 9999, which some of them keep."""
    try:
        return datetime.fromtimestamp(unix_s, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _failure(path: str, reason: str) -> Failure:
    uri = _uri(os.path.abspath(path))  # noqa: PTH100 - it may be missing
    return Failure(uri=uri, reason=reason, transient=True, source=uri)


def _uri(path: str) -> str:
    return Path(path).as_uri()
