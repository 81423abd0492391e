"""Which scope each route needs: as docs/security.md says, and nothing is served that does not stand there."""

import re
from pathlib import Path

import pytest

from rag.govern.access import GRANTED_BY
from rag.govern.keys import KeyRing, new_key
from rag.serve.app import create_app
from tests.serve.stage import client_of, services

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
ROWS = re.findall(r"^\| `([A-Z]+) (\S+)` \| ([a-z, ]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
TABLE = {(method, path): scopes.split(", ") for method, path, scopes in ROWS}
HOLDERS = {scope: new_key(scope, scopes=[scope]) for scope in GRANTED_BY}
PARAMETER = re.compile(r"{(\w+):\w+}")


def served():
    """Every method of every route, but OPTIONS, which the framework answers by itself to those with a key."""
    for route in create_app(services(), version="0").routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
            for method in getattr(handler, "http_methods", {"POST"}) - {"OPTIONS"}:
                yield method, PARAMETER.sub(r"{\1}", route.path)


def test_the_page_lists_every_route_and_no_other():
    assert sorted(served()) == sorted(TABLE)


@pytest.mark.parametrize(("method", "path"), sorted(TABLE))
async def test_a_route_is_open_to_those_that_the_page_says(method, path):
    target = re.sub(r"{\w+}", "some-id", path)
    refusals = {}
    staged = services(keys=KeyRing(key for _, key in HOLDERS.values()))
    async with client_of(staged, headers={}) as client:
        refusals["nobody"] = (await client.request(method, target, content=b"{}")).status_code == 401
        for scope, (token, _) in HOLDERS.items():
            reply = await client.request(method, target, content=b"{}", headers={"x-api-key": token})
            refusals[scope] = reply.status_code == 403
    needed = TABLE[method, path]
    let_in = {"nobody", *HOLDERS} if needed == ["none"] else frozenset().union(*(GRANTED_BY[scope] for scope in needed))
    assert {holder for holder, is_refused in refusals.items() if not is_refused} == let_in
