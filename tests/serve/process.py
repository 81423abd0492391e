"""A server process on a stage, for tests that send signals: `python -m tests.serve.process`. Prints its port."""

import asyncio
import logging
from contextlib import asynccontextmanager

import uvloop

from rag.serve.server import bind, serve
from tests.serve.stage import StageAnswerer, services


class SlowAnswerer(StageAnswerer):
    """Takes a second for each event of a question that says "slow"."""

    async def answer(self, query, deadline, *, stream):
        async for event in super().answer(query, deadline, stream=stream):
            if "slow" in query.text:
                await asyncio.sleep(0.3)
            if "endless" in query.text:
                await asyncio.sleep(3600)
            yield event


@asynccontextmanager
async def opened():
    staged = services(answerer=SlowAnswerer())
    staged.health.warmed_up()
    yield staged


async def main():
    bound = bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    await serve(opened(), bound, version="0", on_listening=lambda: print(port, flush=True))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    logging.basicConfig()
    uvloop.run(main())
