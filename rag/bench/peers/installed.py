"""Where the peers are: programs that are run if they are there, and never installed from here."""

import asyncio
import os
import shutil
from pathlib import Path

import msgspec
from msgspec import Struct

from rag.base.errors import ConfigError

PLACES = "RAG_BENCH_PEERS"
"""An environment variable: folders with the peers' programs, looked through before the PATH."""


def program(name: str, peer: str, install: str) -> str:
    """The path of a peer's program. Raises ConfigError that says how to install it."""
    path = os.pathsep.join([os.environ.get(PLACES, ""), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        raise ConfigError(f"the peer '{peer}' is not installed: {install}; or name the folder of '{name}' in {PLACES}")
    return found


def npm_package(name: str, file: str, peer: str) -> Path:
    """A file of an npm package below one of the places, or below here. Raises ConfigError."""
    places = [*filter(None, os.environ.get(PLACES, "").split(os.pathsep)), "."]
    for place in places:
        found = Path(place, "node_modules", name, file)
        if found.is_file():
            return found
    raise ConfigError(
        f"the peer '{peer}' is not installed: npm install {name}; or name the folder of its node_modules in {PLACES}"
    )


class _Package(Struct):
    version: str = ""


def npm_version(file: Path) -> str:
    """The version of the npm package that a file of it lies in, two folders below its own."""
    return msgspec.json.decode((file.parent.parent / "package.json").read_bytes(), type=_Package).version


async def python_versions(program: str, *packages: str) -> str:
    """What of the packages is installed beside a Python program, with versions; nothing where that cannot be told."""
    code = (
        "import sys; from importlib.metadata import version; "
        "print(*(f'{name} {version(name)}' for name in sys.argv[1:]), sep=', ')"
    )
    python = Path(program).with_name("python")
    try:
        process = await asyncio.create_subprocess_exec(
            str(python), "-c", code, *packages, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return ""
    said, _ = await process.communicate()
    return said.decode().strip()
