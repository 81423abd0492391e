"""Sends documents to a running server, which has the store open, instead of to a store of our own."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import msgspec
from msgspec import Struct

from ingest.draft import Draft
from ingest.embed import Sleep
from ingest.outcome import Failure, Outcome, Report, Status, failed
from ingest.pipeline import Items, Progress
from rag.base.deadline import Clock, Deadline
from rag.base.errors import (
    BadDependency,
    Forbidden,
    GroundwireError,
    PermanentIngestError,
    TransientIngestError,
    Unauthenticated,
    Unavailable,
)
from rag.base.ids import digest
from rag.base.text import normalised

DEFAULT_RETRY_AFTER_S = 1.0
Reply = TypeVar("Reply")
_PARAMS = {"wait": "indexed", "lane": "backfill"}
_HEADERS = {"content-type": "application/json"}
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class _Reply(Struct, frozen=True):
    id: str
    uri: str
    version: str
    status: Status
    n_chunks: int
    n_tokens: int
    near_duplicate_of: str | None = None


class _Version(Struct, frozen=True):
    id: str
    version: str


class _Listing(Struct, frozen=True):
    documents: list[_Version]


class _Deletion(Struct, frozen=True):
    deleted: int


class _Problem(Struct, frozen=True):
    title: str = ""
    detail: str = ""
    errors: list[dict[str, Any]] = []


class RemoteIndexer:
    """Indexes through `PUT /documents` of the server that `client` has as its base, with the key it carries.

    `n_parallel` documents are under way at a time; equal ones follow each other, so that the first is the original.
    A busy server is asked again when it says, for at most `patience_s` per document.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        n_parallel: int = 8,
        patience_s: float = 300.0,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._n_parallel = n_parallel
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep

    async def index(self, draft: Draft) -> Outcome:
        """What the server made of the draft. Raises Forbidden, IngestError, Unauthenticated, DependencyError."""
        deadline = Deadline.after(self._patience_s, self._clock)
        body = msgspec.json.encode(_body(draft))
        while True:
            reply = await self._put(body)
            pause_s = _retry_after_s(reply)
            if reply.status_code not in BUSY or pause_s >= deadline.remaining_s(self._clock):
                return msgspec.structs.replace(_outcome(reply), source=draft.source)
            await self._sleep(pause_s)

    async def versions(self, ids: Sequence[str]) -> dict[str, str]:
        """As `LocalIndex.versions`, of what the key may see."""
        params = {"id": list(ids), "limit": len(ids)}
        return {record.id: record.version for record in (await self._asked("GET", _Listing, params=params)).documents}

    async def delete(self, ids: Sequence[str]) -> int:
        """As `LocalIndex.delete`, of what the key may see."""
        body = {"filters": {"document_id": list(ids)}}
        return (await self._asked("POST", _Deletion, "/delete", json=body)).deleted

    async def run(self, items: Items, progress: Progress | None = None) -> Report:
        """Sends every item; a document that fails is reported and the others go on.

        Raises Unavailable when the server is gone and Unauthenticated when it does not take the key.
        """
        started_s = self._clock()
        report = Report()
        under_way: deque[asyncio.Task[Outcome]] = deque()
        queues = _Queues()

        async def finish_first() -> None:
            outcome = await under_way.popleft()
            report.count(outcome)
            if progress:
                progress(outcome)

        try:
            async with aclosing(items):
                async for item in items:
                    under_way.append(queues.start(item, self._attempt))
                    if len(under_way) >= self._n_parallel:
                        await finish_first()
            while under_way:
                await finish_first()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        report.seconds = self._clock() - started_s
        return report

    async def _attempt(self, item: Draft | Failure) -> Outcome:
        try:
            if isinstance(item, Failure):
                raise item.error()
            return await self.index(item)
        except (Unavailable, Unauthenticated):
            raise
        except GroundwireError as error:
            return failed(item, "", error)

    async def _asked(self, method: str, kind: type[Reply], path: str = "", **request: Any) -> Reply:
        try:
            reply = await self._client.request(method, f"/documents{path}", **request)
        except httpx.TransportError as error:
            raise Unavailable(f"the server at {self._client.base_url} cannot be reached: {error}") from error
        if not reply.is_success:
            raise _refusal(reply)
        return _decoded(reply, kind)

    async def _put(self, body: bytes) -> httpx.Response:
        try:
            return await self._client.put("/documents", content=body, params=_PARAMS, headers=_HEADERS)
        except httpx.TimeoutException as error:
            raise TransientIngestError("the server did not answer in time") from error
        except httpx.TransportError as error:
            raise Unavailable(f"the server at {self._client.base_url} cannot be reached: {error}") from error


class _Queues:
    """Starts work in order: a document waits for an earlier one of the same uri or the same words."""

    def __init__(self) -> None:
        self._last: dict[str, asyncio.Task[Outcome]] = {}

    def start(
        self, item: Draft | Failure, attempt: Callable[[Draft | Failure], Awaitable[Outcome]]
    ) -> asyncio.Task[Outcome]:
        keys = [f"uri:{item.uri}"]
        if isinstance(item, Draft):
            keys.append(digest(normalised(item.text)))
        earlier = {self._last[key] for key in keys if key in self._last}

        async def work() -> Outcome:
            if earlier:
                await asyncio.wait(earlier)
            return await attempt(item)

        task = asyncio.create_task(work())
        for key in keys:
            self._last[key] = task
        task.add_done_callback(lambda _: self._forget(keys, task))
        return task

    def _forget(self, keys: list[str], task: asyncio.Task[Outcome]) -> None:
        for key in keys:
            if self._last.get(key) is task:
                del self._last[key]


def _body(draft: Draft) -> dict[str, Any]:
    body: dict[str, Any] = {
        "uri": draft.uri,
        "text": draft.text,
        "title": draft.title,
        "format": draft.format,
        "acl": draft.acl,
        "metadata": draft.metadata,
        "pages": draft.pages,
    }
    if draft.updated_at:
        instant = draft.updated_at
        body["updated_at"] = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return body


def _outcome(reply: httpx.Response) -> Outcome:
    if not reply.is_success:
        raise _refusal(reply)
    if reply.status_code == HTTPStatus.ACCEPTED:
        raise TransientIngestError("the server's workers have not come to it in time; it is still in their queue")
    told = _decoded(reply, _Reply)
    return Outcome(
        document_id=told.id,
        uri=told.uri,
        status=told.status,
        version=told.version,
        n_chunks=told.n_chunks,
        n_tokens=told.n_tokens,
        near_duplicate_of=told.near_duplicate_of,
    )


def _decoded(reply: httpx.Response, kind: type[Reply]) -> Reply:
    try:
        return msgspec.json.decode(reply.content, type=kind)
    except msgspec.DecodeError as error:
        raise BadDependency(f"the reply of {reply.url} is not one of Groundwire") from error


def _refusal(reply: httpx.Response) -> GroundwireError:
    reason = _reason(reply)
    if reply.status_code == HTTPStatus.UNAUTHORIZED:
        return Unauthenticated(reason)
    if reply.status_code == HTTPStatus.FORBIDDEN:
        return Forbidden(reason)
    if reply.is_client_error and reply.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return PermanentIngestError(reason)
    return TransientIngestError(reason)


def _reason(reply: httpx.Response) -> str:
    """What the problem+json says, or the status where there is none."""
    problem = _Problem()
    with suppress(msgspec.DecodeError):
        problem = msgspec.json.decode(reply.content, type=_Problem)
    faults = [f"{fault.get('pointer', '')} {fault.get('detail', '')}".strip() for fault in problem.errors]
    told = "; ".join([problem.detail or problem.title, *faults]) if problem != _Problem() else ""
    return told or f"the server answered {reply.status_code} {reply.reason_phrase}"


def _retry_after_s(reply: httpx.Response) -> float:
    try:
        return max(0.0, float(reply.headers.get("retry-after", DEFAULT_RETRY_AFTER_S)))
    except ValueError:  # a date: servers of ours send seconds
        return DEFAULT_RETRY_AFTER_S
