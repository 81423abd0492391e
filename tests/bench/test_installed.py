"""Finding peers, and asking which version they are."""

import sys

import pytest

from rag.base.errors import ConfigError
from rag.bench.machine import version_of
from rag.bench.peers.installed import PLACES, npm_package, npm_version, program, python_versions


def test_a_peer_that_is_not_there_says_how_to_get_it():
    with pytest.raises(ConfigError, match=f"'p' is not installed: pip install p; .* {PLACES}"):
        program("no-such-program-anywhere", "p", "pip install p")
    with pytest.raises(ConfigError, match="npm install no-such-package"):
        npm_package("no-such-package", "start.js", "p")


def test_an_npm_package_tells_its_version(tmp_path):
    start = tmp_path / "build" / "start.js"
    start.parent.mkdir()
    start.touch()
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1.2.3"}', encoding="utf-8")
    assert npm_version(start) == "1.2.3"


async def test_python_packages_beside_a_program_tell_their_versions(tmp_path):
    program = sys.executable
    expected = f"httpx {version_of('httpx')}, msgspec {version_of('msgspec')}"
    assert await python_versions(program, "httpx", "msgspec") == expected
    assert await python_versions(program, "no-such-package-anywhere") == ""
    assert await python_versions(str(tmp_path / "program"), "httpx") == ""
