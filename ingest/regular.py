"""Opens files that somebody else may exchange between the moment they are found and the moment they are read."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from rag.base.errors import TransientIngestError

_OPENED: Final = Path("/proc/self/fd")
"""On Linux the links in it say which file was opened, whatever its path means by now."""


def open_regular(path: str) -> BinaryIO:
    """The file at this very path, links resolved, to read from.

    Whoever may write into a folder could put a link to another file of this machine in the place of one that was found
    there, or of a folder on the way, and have that read; or a pipe, at which reading waits for ever.
    Raises OSError, and TransientIngestError for what is no file any more or lies elsewhere.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_as_found(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _require_as_found(descriptor: int, path: str) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise TransientIngestError("it is no file any more")
    opened = _OPENED / str(descriptor)
    if opened.is_symlink() and os.fspath(opened.readlink()) != path:
        raise TransientIngestError("its path leads somewhere else than when it was found")
