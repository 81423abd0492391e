import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from ingest.draft import Draft
from ingest.outcome import Failure, Outcome, Report
from ingest.remote import RemoteIndexer
from rag.base.errors import Forbidden, PermanentIngestError, TransientIngestError, Unauthenticated, Unavailable
from tests.indexing import stream

Handler = Callable[[httpx.Request], httpx.Response]


class Remote:
    """A remote indexer over a handler, on a clock that only sleeping moves."""

    def __init__(self, handler: Handler, **options: object) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        transport = httpx.MockTransport(handler)
        client = httpx.AsyncClient(
            transport=transport, base_url="http://server", headers={"authorization": "Bearer secret"}
        )
        self.indexer = RemoteIndexer(client, clock=lambda: self.now_s, sleep=self._sleep, **options)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    async def run(self, items: list[Draft | Failure], progress: Callable[[Outcome], None] | None = None) -> Report:
        return await self.indexer.run(stream(items), progress)


def accepted(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    reply = {"id": "1" * 32, "uri": body["uri"], "version": "v", "status": "added", "n_chunks": 2, "n_tokens": 9}
    return httpx.Response(200, json=reply)


def problem(status: int, detail: str, **headers: str) -> Handler:
    return lambda _: httpx.Response(status, json={"title": "No", "status": status, "detail": detail}, headers=headers)


async def test_a_draft_is_put_with_the_key() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return accepted(request)

    draft = Draft(
        uri="doc:a", text="cat", title="A", format="pdf", acl=("group:hr",), metadata={"year": 1}, pages=((0, 1),)
    )
    outcome = await Remote(handler).indexer.index(draft)
    assert outcome == Outcome(document_id="1" * 32, uri="doc:a", status="added", version="v", n_chunks=2, n_tokens=9)
    (request,) = seen
    assert (request.method, request.url.path) == ("PUT", "/documents")
    assert dict(request.url.params) == {"wait": "indexed", "lane": "backfill"}
    assert request.headers["authorization"] == "Bearer secret"
    assert json.loads(request.content) == {
        "uri": "doc:a",
        "text": "cat",
        "title": "A",
        "format": "pdf",
        "acl": ["group:hr"],
        "metadata": {"year": 1},
        "pages": [[0, 1]],
    }


async def test_a_busy_server_is_asked_again_when_it_says() -> None:
    replies = [problem(503, "busy", **{"retry-after": "2"}), problem(429, "quota", **{"retry-after": "0.5"}), accepted]

    def handler(request: httpx.Request) -> httpx.Response:
        return replies.pop(0)(request)

    remote = Remote(handler)
    assert (await remote.indexer.index(Draft(uri="doc:a", text="cat"))).status == "added"
    assert remote.slept == [2.0, 0.5]


async def test_patience_ends() -> None:
    remote = Remote(problem(503, "busy", **{"retry-after": "40"}), patience_s=100)
    with pytest.raises(TransientIngestError, match="busy"):
        await remote.indexer.index(Draft(uri="doc:a", text="cat"))
    assert remote.slept == [40, 40]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Unauthenticated),
        (403, Forbidden),
        (413, PermanentIngestError),
        (422, PermanentIngestError),
        (500, TransientIngestError),
        (504, TransientIngestError),
    ],
)
async def test_problems_become_errors(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="this is why"):
        await Remote(problem(status, "this is why")).indexer.index(Draft(uri="doc:a", text="cat"))


async def test_a_reply_that_is_no_problem_is_told_by_its_status() -> None:
    with pytest.raises(TransientIngestError, match="502 Bad Gateway"):
        await Remote(lambda _: httpx.Response(502, text="<html>")).indexer.index(Draft(uri="doc:a", text="cat"))


async def test_a_run_reports_in_order_and_goes_on_after_failures() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return problem(422, "no text")(request) if b"bad" in request.content else accepted(request)

    seen: list[Outcome] = []
    items = [Draft(uri=f"doc:{at}", text=f"bad {at}" if at % 5 == 3 else f"cat {at}") for at in range(20)]
    report = await Remote(handler).run([*items, Failure(uri="doc:x", reason="password")], seen.append)
    assert (report.added, report.failed, report.chunks) == (16, 5, 32)
    assert [outcome.uri for outcome in seen] == [*(f"doc:{at}" for at in range(20)), "doc:x"]
    assert report.failures[0] == Failure(uri="doc:3", reason="no text")


@pytest.mark.parametrize("error", [Unauthenticated, Unavailable])
async def test_a_run_ends_when_the_server_is_gone_or_shut(error: type[Exception]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if error is Unavailable:
            raise httpx.ConnectError("refused", request=request)
        return problem(401, "no such key")(request)

    with pytest.raises(error):
        await Remote(handler).run([Draft(uri=f"doc:{at}", text=f"{at}") for at in range(20)])


async def test_equal_documents_follow_each_other_and_others_go_side_by_side() -> None:
    under_way: set[str] = set()
    together: set[frozenset[str]] = set()

    async def handler(request: httpx.Request) -> httpx.Response:
        uri = json.loads(request.content)["uri"]
        under_way.add(uri)
        for _ in range(5):
            await asyncio.sleep(0)
            together.add(frozenset(under_way))
        under_way.remove(uri)
        return accepted(request)

    texts = {"a": "same", "b": "other", "c": " same\n", "d": "third"}
    await Remote(handler).run([Draft(uri=f"doc:{name}", text=text) for name, text in texts.items()])
    assert not any({"doc:a", "doc:c"} <= group for group in together)
    assert any(len(group) == 3 for group in together)
