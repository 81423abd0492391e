"""Office files are zip archives: how much they say they hold, before anything is unpacked."""

from io import BytesIO
from typing import Final
from zipfile import BadZipFile, LargeZipFile, ZipFile

from rag.base.errors import PermanentIngestError

MAX_UNPACKED_BYTES: Final = 2**29
"""Of all entries together. A parser holds several times as much of what it reads."""

_SIGNATURE: Final = b"PK\x03\x04"


def require_bounded(data: bytes) -> None:
    """Raises PermanentIngestError for an archive that unpacks to more than is allowed.

    It is believed what it says of itself: one that lies reaches the limits of the parser's process, which takes longer.
    """
    if not data.startswith(_SIGNATURE):
        return
    try:
        with ZipFile(BytesIO(data)) as archive:
            n_bytes = sum(entry.file_size for entry in archive.infolist())
    except (BadZipFile, LargeZipFile, ValueError, NotImplementedError):
        return  # the parser says what is wrong with it
    if n_bytes > MAX_UNPACKED_BYTES:
        raise PermanentIngestError(f"it unpacks to {n_bytes} bytes, and {MAX_UNPACKED_BYTES} are allowed")
