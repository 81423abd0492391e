"""A backup as one file: a tar archive whose last member tells the size and the BLAKE2b sum of each of the others.

An archive without that member was cut off. Any `tar` reads it; ours takes files only, under the names that it is told.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Final, Self

import msgspec
from msgspec import Struct

from rag.base.errors import InvalidInput
from rag.base.sqlite import open_sqlite

CONTENTS: Final = "backup.json"
SCHEMA: Final = 1
"""Rises when what an archive holds changes in a way that this code cannot read."""

BUSY_S: Final = 30.0
"""How long copying a database waits for a process that writes to it."""

_PIECE_BYTES: Final = 2**20


class Sum(Struct, frozen=True, kw_only=True):
    """What a file of the archive must be."""

    n_bytes: int
    blake2b: str


class Contents(Struct, frozen=True, kw_only=True):
    """What a backup holds; `files` are its members by name, `version` is the Groundwire that made it."""

    schema: int = SCHEMA
    version: str
    made_at: datetime
    files: dict[str, Sum]

    @property
    def n_bytes(self) -> int:
        """All files together."""
        return sum(each.n_bytes for each in self.files.values())


class _Summed:
    """A file that is read once, or written once, and summed meanwhile."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._digest = hashlib.blake2b(digest_size=32)
        self._n_bytes = 0

    def read(self, n_bytes: int = -1) -> bytes:
        return self._seen(self._raw.read(n_bytes))

    def write(self, piece: bytes) -> None:
        self._raw.write(self._seen(piece))

    def _seen(self, piece: bytes) -> bytes:
        self._digest.update(piece)
        self._n_bytes += len(piece)
        return piece

    @property
    def sum(self) -> Sum:
        return Sum(n_bytes=self._n_bytes, blake2b=self._digest.hexdigest())


class ArchiveWriter:
    """Writes an archive that only its owner may read. Everything blocks. Raises OSError, FileExistsError too."""

    def __init__(self, file: Path) -> None:
        self._folder = file.parent
        self._stream = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._tar = tarfile.TarFile(fileobj=self._stream, mode="w", copybufsize=_PIECE_BYTES)
        self._sums: dict[str, Sum] = {}

    @classmethod
    @contextmanager
    def opened(cls, file: Path) -> Iterator[Self]:
        """A writer of that file, which must not be there yet; it is removed when not everything could be written."""
        writer = cls(file)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer._stream.close()
            file.unlink()
            raise

    def add(self, file: Path, name: str) -> None:
        """A file as it is now; nobody may write to it meanwhile."""
        with file.open("rb") as raw:
            summed = _Summed(raw)
            member = tarfile.TarInfo(name)
            member.size, member.mode = os.fstat(raw.fileno()).st_size, 0o600
            self._tar.addfile(member, summed)
        self._sums[name] = summed.sum

    def add_folder(self, folder: Path, name: str) -> None:
        """Every file in the folder and below it; links are followed."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.add(file, f"{name}/{file.relative_to(folder).as_posix()}")

    def add_database(self, file: Path, name: str) -> None:
        """A SQLite file as of one moment, whoever writes to it meanwhile."""
        with TemporaryDirectory(dir=self._folder) as folder:
            copy = Path(folder, name)
            with closing(open_sqlite(file, BUSY_S)) as source, closing(open_sqlite(copy, BUSY_S)) as target:
                source.backup(target)
            self.add(copy, name)

    def finish(self, version: str, now: datetime) -> Contents:
        """Writes what the archive holds, which makes it whole."""
        contents = Contents(version=version, made_at=now, files=self._sums)
        told = msgspec.json.encode(contents)
        member = tarfile.TarInfo(CONTENTS)
        member.size, member.mode = len(told), 0o600
        self._tar.addfile(member, BytesIO(told))
        return contents

    def close(self) -> None:
        """Has all of it on the disk."""
        self._tar.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()


def unpack(archive: Path, folder: Path, known: frozenset[str]) -> Contents:
    """Writes what the archive holds into the folder, and checks every sum.

    `known` are the names that may stand at its top. Raises InvalidInput for what is no whole backup; then the folder
    holds something of it.
    """
    sums: dict[str, Sum] = {}
    contents: Contents | None = None
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                raw = tar.extractfile(member) if member.isfile() else None
                if raw is None:
                    raise InvalidInput(f"{archive} is no backup: '{member.name}' is not a file")
                if member.name == CONTENTS:
                    contents = _read(archive, raw.read())
                else:
                    sums[member.name] = _unpacked(raw, folder / _safe(archive, member.name, known))
    except tarfile.TarError as error:
        raise InvalidInput(f"{archive} is no backup, or it is damaged: {error}") from error
    except OSError as error:
        raise InvalidInput(f"{archive} cannot be unpacked into {folder}: {error.strerror or error}") from error
    if contents is None:
        raise InvalidInput(f"{archive} is cut off: its last member, {CONTENTS}, is missing")
    if wrong := sorted(name for name in contents.files | sums if contents.files.get(name) != sums.get(name)):
        raise InvalidInput(
            f"{archive} is damaged: {len(wrong)} files are not what was written, the first is {wrong[0]}"
        )
    (folder / CONTENTS).write_bytes(msgspec.json.encode(contents))
    return contents


def read_contents(folder: Path) -> Contents:
    """What was unpacked into the folder."""
    return msgspec.json.decode((folder / CONTENTS).read_bytes(), type=Contents)


def _read(archive: Path, told: bytes) -> Contents:
    try:
        contents = msgspec.json.decode(told, type=Contents)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{archive} is no backup of this version of Groundwire: {error}") from error
    if contents.schema != SCHEMA:
        raise InvalidInput(
            f"{archive} was made by Groundwire {contents.version} (schema {contents.schema}); this one reads {SCHEMA}"
        )
    return contents


def _safe(archive: Path, name: str, known: frozenset[str]) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] not in known:
        raise InvalidInput(f"{archive} is no backup: it holds '{name}'")
    return path


def _unpacked(raw: IO[bytes], file: Path) -> Sum:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        summed = _Summed(target)
        while piece := raw.read(_PIECE_BYTES):
            summed.write(piece)
        target.flush()
        os.fsync(target.fileno())
    return summed.sum
