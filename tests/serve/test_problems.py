from pathlib import Path

import msgspec
import pytest
from litestar import get

from rag.base import errors
from rag.serve.bodies import MalformedJson
from rag.serve.guards import PUBLIC
from rag.serve.problems import HTTP_KINDS, INTERNAL, KINDS, describe, kind_of, report
from tests.serve.stage import client_of, services

STATUSES = {
    errors.InvalidInput: 422,
    MalformedJson: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.Overloaded: 503,
    errors.QuotaExceeded: 429,
    errors.BadDependency: 502,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.PermanentIngestError: 422,
    errors.TransientIngestError: 503,
    errors.ConfigError: 500,
}


def families(cls):
    yield cls
    for child in cls.__subclasses__():
        yield from families(child)


def of(cls):
    if issubclass(cls, errors.LoadError):
        return cls("too much", retry_after_s=7.5)
    return cls("as it is")


@pytest.mark.parametrize("cls", [c for c in families(errors.GroundwireError) if c.__module__ == errors.__name__])
def test_every_error_has_a_row_of_its_own(cls):
    assert cls in KINDS
    assert KINDS[cls].status == STATUSES.get(cls, KINDS[cls].status)


def test_an_error_takes_the_row_of_its_nearest_class():
    class Poisoned(errors.BadDependency):
        pass

    assert kind_of(Poisoned("x")) == KINDS[errors.BadDependency]
    assert kind_of(ValueError("x")) == INTERNAL


@pytest.mark.parametrize("cls", STATUSES)
def test_a_problem_says_what_the_error_said_unless_that_is_private(cls):
    problem = describe(of(cls), "r1")
    assert problem.status == STATUSES[cls]
    assert problem.instance == "r1"
    assert ("log" in problem.detail) == (problem.status == 500)
    assert problem.retry_after_s == (7.5 if issubclass(cls, errors.LoadError) else None)


def test_a_fault_is_pointed_at():
    problem = describe(errors.InvalidInput("too short", pointer="/history/0/content"), "r1")
    assert msgspec.to_builtins(problem.errors) == ({"detail": "too short", "pointer": "/history/0/content"},)


def test_our_own_failures_are_logged_with_their_cause(caplog):
    report(ValueError("the cause"), "r42")
    assert "r42" in caplog.text
    assert "the cause" in caplog.text


def test_what_is_not_our_failure_is_not_logged(caplog):
    report(errors.NotFound("nothing there"), "r42")
    assert caplog.text == ""


@pytest.mark.parametrize("kind", dict.fromkeys([*KINDS.values(), *HTTP_KINDS.values()]), ids=lambda kind: kind.slug)
def test_every_problem_is_documented(kind):
    page = Path("docs/problems.md").read_text(encoding="utf-8")
    assert f"## {kind.slug}\n" in page
    section = page.partition(f"## {kind.slug}\n")[2].partition("\n## ")[0]
    assert str(kind.status) in section
    assert kind.title in section


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/schema/nowhere", 404, "not-found"),
        ("GET", "/ask", 405, "method-not-allowed"),
        ("DELETE", "/readyz", 405, "method-not-allowed"),
    ],
)
async def test_the_framework_speaks_in_problems_too(method, path, status, slug):
    async with client_of(services()) as client:
        response = await client.request(method, path)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status)
    assert problem["type"] == f"/problems/{slug}"
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["instance"] == response.headers["x-request-id"]
    if status == 405:
        assert response.headers["allow"]


async def test_a_bug_is_a_problem_without_its_cause(caplog):
    @get("/bug", opt=PUBLIC)
    async def bug() -> None:
        raise ZeroDivisionError("internals")

    async with client_of(services()) as client:
        client.app.register(bug)
        response = await client.get("/bug", headers={"x-request-id": "my-id.1"})
    assert response.status_code == 500
    assert response.json()["type"] == "/problems/internal-error"
    assert "internals" not in response.text
    assert "my-id.1" in caplog.text
    assert "ZeroDivisionError" in caplog.text
