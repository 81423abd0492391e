"""Where the peers are: programs that are run if they are there, and never installed from here."""

import os
import shutil
from pathlib import Path

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
