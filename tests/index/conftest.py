import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY_DISK = Path("/dev/shm")  # where there is one; otherwise the ordinary place, with the same result


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder on a memory disk where there is room: making an index is a hundred fsyncs, seconds on a slow disk.

    No test here is about a power cut, and a killed process leaves a memory disk just as it leaves a real one.
    """
    roomy = MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > 2**30
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if roomy else None, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
