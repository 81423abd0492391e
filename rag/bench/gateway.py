"""`/v1/chat/completions` in front of a simulated provider: the service, other gateways, and the provider by itself."""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from rag.base.errors import ConfigError
from rag.bench.compare import Row
from rag.bench.load.plan import Request
from rag.bench.pace import Asking
from rag.bench.peers.gateways import LITELLM, MODEL, PORTKEY, litellm, litellm_headers, portkey, portkey_headers
from rag.bench.process import HOST, RAG, Server, free_port, started
from rag.bench.search import OURS, service
from rag.bench.upstream.script import Book, Script

PROVIDER = "no gateway"
PEERS = (PROVIDER, LITELLM, PORTKEY)

_N_PROMPTS = 64
_TOKEN = "gw_bench0_for-a-benchmark-only"  # noqa: S105 - opens a server that lives for one benchmark
_SETTINGS = """
[auth]
keys = [{{id = "bench0", hash = "{hash}", subject = "bench", account = "bench"}}]
[accounts.bench]
budget_usd = 1000000.0
requests_per_minute = 100000000
tokens_per_minute = 100000000000
[models.{model}]
kind = "openai"
base_url = "http://{host}:{port}/v1"
model = "{model}"
api_key = "sk-provider"
max_connections = 1000
price = {{input_usd_per_mtok = 0.1, output_usd_per_mtok = 0.4}}
"""
"""Keys, rates and a budget that are checked and counted for every request, and never used up."""


class Setup(Struct, frozen=True, kw_only=True):
    """What is asked: streamed or whole, and how the provider answers."""

    stream: bool
    script: Script


@asynccontextmanager
async def serving(setup: Setup, peers: Sequence[str]) -> AsyncIterator[tuple[list[Server], Callable[[Server], Asking]]]:
    """The service first, then the peers, in front of one provider, and how each is asked.

    Raises ConfigError for a peer that is not installed.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundwire-bench-")))
        provider = await enter(simulated_provider(setup.script, folder))
        environ = {"RAG_CONFIG": str(_settings(folder, provider.port))}
        servers = [await enter(service(folder / "data", environ))]
        for peer in peers:
            match peer:
                case "no gateway":
                    servers.append(provider)
                case "litellm":
                    servers.append(await enter(litellm(folder, provider.port)))
                case "portkey":
                    servers.append(await enter(portkey()))
                case _:
                    raise ConfigError(f"there is no gateway '{peer}' to measure, only {', '.join(PEERS)}")
        yield servers, _asking(setup, provider.port)


def added(rows: Sequence[Row]) -> list[str]:
    """What each gateway adds to the provider's own time, as sentences."""
    bare = {row.load: row for row in rows if row.server == PROVIDER}
    return [
        f"{row.load}: {row.server} adds {row.p50 - bare[row.load].p50:.2f} ms to the p50,"
        f" {row.first_p50 - bare[row.load].first_p50:.2f} ms to the first token"
        for row in rows
        if row.server != PROVIDER and row.load in bare and row.n_runs > row.n_void
    ]


def _asking(setup: Setup, provider_port: int) -> Callable[[Server], Asking]:
    """The same conversations for all, each with the credentials that the server wants."""
    headers = {
        OURS: (("authorization", f"Bearer {_TOKEN}"),),
        LITELLM: litellm_headers(),
        PORTKEY: portkey_headers(provider_port),
    }
    bodies = [_body(number, stream=setup.stream) for number in range(_N_PROMPTS)]

    def asking(server: Server) -> Asking:
        return Asking(
            requests=tuple(
                Request(path="/v1/chat/completions", body=body, headers=headers.get(server.name, ())) for body in bodies
            ),
            contains="[DONE]" if setup.stream else '"choices"',
            first='"w00' if setup.stream else "",
        )

    return asking


def _body(number: int, *, stream: bool) -> str:
    question = f"Question {number}: what does a gateway add to the time of an answer, and when does it matter?"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 1000, **({"stream": True} if stream else {})}
    return msgspec.json.encode(body).decode()


@asynccontextmanager
async def simulated_provider(script: Script, folder: Path) -> AsyncIterator[Server]:
    """A provider that answers everything by one script, which is written into the folder."""
    port = free_port()
    file = folder / "scripts.json"
    file.write_bytes(msgspec.json.encode(Book(default=script)))
    command = (*RAG, "bench", "upstream", "--port", str(port), "--script", str(file))
    async with started(PROVIDER, command, port, ready="/bench/bill") as server:
        yield server


def _settings(folder: Path, provider_port: int) -> Path:
    file = folder / "rag.toml"
    digest = sha256(_TOKEN.encode()).hexdigest()
    file.write_text(_SETTINGS.format(hash=digest, model=MODEL, host=HOST, port=provider_port), encoding="utf-8")
    return file
