"""Putting a backup into a data folder: the folder holds what it held, or all of the backup, whenever this is killed.

The archive is unpacked beside what is there. Renaming that one folder to `restored` is the step: before it nothing has
changed, and from then on whoever opens the data folder first moves the parts into their places, or the rest of them.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rag.backup.archive import Contents, read_contents, unpack
from rag.backup.folder import KEPT, files_of, forgotten, present
from rag.base.errors import Conflict
from rag.base.folders import private_folder

DRAFT: Final = "restoring"
READY: Final = "restored"


def restore(archive: Path, data_dir: Path, *, force: bool) -> Contents:
    """Puts what the archive holds into the data folder, which no process may have open.

    Raises Conflict when there is something already, unless `force` says that it may go, and as `unpack`.
    """
    if (found := present(data_dir)) and not force:
        raise Conflict(f"{data_dir} holds something already ({', '.join(found)}); name another folder, or use --force")
    private_folder(data_dir)
    contents = prepare(archive, data_dir)
    complete(data_dir)
    return contents


def prepare(archive: Path, data_dir: Path) -> Contents:
    """Unpacks the archive into the data folder and has it wait for `complete`. Raises as `unpack`."""
    draft = data_dir / DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        contents = unpack(archive, draft, KEPT)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    draft.rename(data_dir / READY)
    _flush(data_dir)
    return contents


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
    if path.is_dir():
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
