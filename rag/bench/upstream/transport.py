"""The simulated provider without a socket: a transport of ours and of httpx's. Its clock is that of the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import httpx

from rag.bench.upstream.asked import NotAsked, read_request
from rag.bench.upstream.bill import Bill, Line
from rag.bench.upstream.performance import Performance, dated, perform
from rag.bench.upstream.script import Book, Prompter, Script
from rag.infer.exchange import Request
from rag.infer.over_httpx import HttpxReply, OverHttpx


class SimulatedProvider(httpx.AsyncBaseTransport):
    """All five wires behind any address.

    `prompter.queue` and `prompter.follow` say what is answered, `bill` what it cost, `bodies` what was asked.
    """

    def __init__(self, book: Book | Script | None = None, queue: Sequence[Script] = ()) -> None:
        self.prompter = Prompter(book, queue)
        self.bill = Bill()
        self.bodies: list[bytes] = []

    async def post(self, request: Request) -> HttpxReply:
        """See `Transport`."""
        return await OverHttpx(self).post(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answers by the next script. Raises httpx.ReadError where the script hangs up."""
        body = await request.aread()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            asked = read_request(request.method, request.url.raw_path.decode(), headers, body)
        except NotAsked as error:
            return httpx.Response(404, json={"error": {"message": str(error), "code": "not_found"}})
        self.bodies.append(body)
        performance = perform(asked, self.prompter.next(asked))
        stream = _Stream(self.bill, self.bill.open(asked), performance)
        try:
            await stream.begin()
        except asyncio.CancelledError:
            await stream.aclose()
            raise
        return httpx.Response(
            performance.status,
            headers=dated(performance.headers, time.time()),
            stream=stream,
        )


class _Stream(httpx.AsyncByteStream):
    def __init__(self, bill: Bill, line: Line, performance: Performance) -> None:
        self._bill = bill
        self._line = line
        self._performance = performance
        self._began_s = asyncio.get_running_loop().time()

    async def begin(self) -> None:
        """Waits until the head of the response is due."""
        performance = self._performance
        await self._until(performance.starts_s)
        if performance.ending == "mute":
            await asyncio.Event().wait()
        if performance.ending == "hang_up":
            self._bill.close(self._line, performance)
            raise httpx.ReadError("the simulated provider hung up")
        self._line.status = performance.status

    async def __aiter__(self) -> AsyncIterator[bytes]:
        performance = self._performance
        last = performance.steps[-1:]
        for step in performance.steps:
            await self._until(step.at_s)
            self._bill.sent(self._line, performance, step.n_tokens)
            if performance.ending == "clean" and step is last[0]:
                self._bill.close(self._line, performance)  # who closes once all is there has not left
            yield step.data
        if performance.ending == "silence":
            await asyncio.Event().wait()
        self._bill.close(self._line, performance)
        if performance.ending == "cut":
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        if performance.ending == "reset":
            raise httpx.ReadError("the simulated provider reset the connection")

    async def aclose(self) -> None:
        """Closed before the end: the client has left."""
        self._bill.close(self._line, self._performance, left=True)

    async def _until(self, at_s: float) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._began_s + at_s - loop.time()
        await asyncio.sleep(max(0.0, wait_s))
