"""Putting a backup into a data folder: the folder holds what it held, or all of the backup, whenever this is killed.

The archive is unpacked beside what is there. Renaming that one folder to `restored` is the step: before it nothing has
changed, and from then on whoever opens the data folder first moves the parts into their places, or the rest of them.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rag.backup.archive import Contents, read_contents, unpack
from rag.backup.folder import KEPT, SNAPSHOT, files_of, forgotten, present
from rag.base.errors import ConfigError, Conflict
from rag.base.folders import private_folder
from rag.index.config import EdgeConfig, StoreConfig
from rag.settings import Settings

DRAFT: Final = "restoring"
READY: Final = "restored"


async def restore(archive: Path, settings: Settings, *, force: bool) -> Contents:
    """Puts what the archive holds into the data folder, which no process may have open, and onto the Qdrant server.

    Raises Conflict when there is something already, unless `force` says that it may go, ConfigError when the index is
    not of the kind that the settings say, and as `unpack` and `load_snapshot`.
    """
    data_dir = settings.data_dir
    if (found := present(data_dir)) and not force:
        raise Conflict(f"{data_dir} holds something already ({', '.join(found)}); name another folder, or use --force")
    private_folder(data_dir)
    contents = await asyncio.to_thread(prepare, archive, data_dir)
    snapshot = data_dir / DRAFT / SNAPSHOT
    try:
        if snapshot.exists():
            await _load(settings.index, snapshot, force=force)
            snapshot.unlink()
        make_ready(data_dir)
    finally:
        shutil.rmtree(data_dir / DRAFT, ignore_errors=True)
    await asyncio.to_thread(complete, data_dir)
    return contents


async def _load(config: StoreConfig, snapshot: Path, *, force: bool) -> None:
    if isinstance(config, EdgeConfig):
        raise ConfigError("the backup holds an index of a Qdrant server; set index.kind = 'qdrant'", path="index.kind")
    from rag.index.qdrant_snapshot import load_snapshot

    await load_snapshot(config, snapshot, force=force)


def prepare(archive: Path, data_dir: Path) -> Contents:
    """Unpacks the archive beside what the data folder holds. Raises as `unpack`."""
    draft = data_dir / DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        return unpack(archive, draft, KEPT | {SNAPSHOT})
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def make_ready(data_dir: Path) -> None:
    """The step: from here on what was unpacked is what the data folder holds, as soon as `complete` has ended."""
    (data_dir / DRAFT).rename(data_dir / READY)
    _flush(data_dir)


def complete(data_dir: Path) -> None:
    """Ends a restore that was killed half way; of several processes one does it and the others wait."""
    with _alone(data_dir / READY) as is_there:
        if is_there:
            for _ in completion(data_dir):
                pass


def completion(data_dir: Path) -> Iterator[str]:
    """The steps from what was there to what was restored, named as each is done; they may begin anew anywhere."""
    ready = data_dir / READY
    tops = {name.partition("/")[0] for name in read_contents(ready).files}
    for name in sorted(KEPT):
        if name not in tops or (ready / name).exists():  # else it is in its place already
            for file in files_of(data_dir, name):
                _remove(file)
                yield f"{file.name} removed"
        if (ready / name).exists():
            (ready / name).rename(data_dir / name)
            yield f"{name} in its place"
    for file in forgotten(data_dir):
        _remove(file)
    _flush(data_dir)
    yield "all in its place"
    ready.rename(data_dir / DRAFT)  # in one step: without its list of contents it could not be gone through again
    shutil.rmtree(data_dir / DRAFT)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Inside, no other process is; whether the folder is there (still)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder.exists()
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    """Makes renamings survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
