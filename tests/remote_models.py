"""Stand-ins for remote models: handlers for `httpx.MockTransport` that speak the wires of the real ones."""

import json
from asyncio import IncompleteReadError, StreamReader, StreamWriter, Task, current_task, gather, start_server
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

import httpx

from rag.base.deadline import Deadline
from rag.base.types import Work
from rag.infer.over_httpx import OverHttpx
from tests.fakes import HashingEmbedder

Handler = Callable[[httpx.Request], httpx.Response]


def mocked(handler: Any) -> OverHttpx:
    """A transport on which the handler answers, without a network."""
    return OverHttpx(httpx.MockTransport(handler))


class EmbeddingsServer:
    """OpenAI's `/embeddings`: hashed words, rows of any length, in reverse order. Remembers what it was asked."""

    def __init__(self, dimension: int = 64) -> None:
        self.embedder = HashingEmbedder(dimension)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[httpx.Headers] = []

    @property
    def sizes(self) -> list[int]:
        return [len(request["input"]) for request in self.requests]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        self.requests.append(asked)
        self.headers.append(request.headers)
        if not all(asked["input"]):
            return httpx.Response(400, json={"error": {"message": "input cannot be an empty string"}})
        work = Work(tenant="any", deadline=Deadline(at_s=float("inf")))
        rows = 3.0 * await self.embedder.embed(asked["input"], "passage", work)
        data = [{"object": "embedding", "index": at, "embedding": row.tolist()} for at, row in enumerate(rows)]
        return httpx.Response(200, json={"object": "list", "data": data[::-1], "model": asked["model"]})


def rerank_server(request: httpx.Request) -> httpx.Response:
    """Both shapes of `/rerank`: scores by the words that question and passage share; the best comes first."""
    asked = json.loads(request.content)
    texts = asked["texts"] if "texts" in asked else asked["documents"]
    scores = [_shared(asked["query"], text) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: -scores[index])
    if "texts" in asked:
        return httpx.Response(200, json=[{"index": index, "score": scores[index]} for index in order])
    results = [{"index": index, "relevance_score": scores[index]} for index in order[: asked["top_n"]]]
    return httpx.Response(200, json={"id": "x", "results": results, "meta": {"api_version": {"version": "1"}}})


def _shared(query: str, text: str) -> float:
    return len(set(query.lower().split()) & set(text.lower().split())) / (1 + len(text.split()))


class Script:
    """Answers with the given responses in turn, or raises the given errors; the last one for good."""

    def __init__(self, *steps: httpx.Response | Exception) -> None:
        self._steps: Sequence[httpx.Response | Exception] = steps
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        step = self._steps[min(len(self.requests), len(self._steps) - 1)]
        self.requests.append(request)
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)


@asynccontextmanager
async def served(handler: Any) -> AsyncIterator[str]:
    """The handler on the loopback interface, behind real connections; gives the address to put into `base_url`."""

    connections: list[Task[None] | None] = []

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        connections.append(current_task())
        try:
            while True:
                response = handler(await _request(reader))
                response = await response if isawaitable(response) else response
                head = f"HTTP/1.1 {response.status_code} x\r\ncontent-length: {len(response.content)}\r\n\r\n"
                writer.write(head.encode() + response.content)
                await writer.drain()
        except IncompleteReadError:
            writer.close()

    server = await start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    await gather(*(task for task in connections if task))  # none is open when the loop ends


async def _request(reader: StreamReader) -> httpx.Request:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = [tuple(line.split(": ", 1)) for line in lines[1:] if line]
    length = next(int(value) for name, value in headers if name.lower() == "content-length")
    return httpx.Request(method, f"http://up{path}", headers=headers, content=await reader.readexactly(length))
