"""One way to Groundwire for every command: its HTTP interface, of the running server or of this process.

A data folder is open in one process at a time. Where a server holds it, the commands ask that server; where none does,
they open the folder themselves and talk to the same application without a socket.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec

from ingest.local import LocalIndex
from ingest.remote import RemoteIndexer
from ingest.sync import Index
from rag.base.errors import CallerError, ConfigError, DependencyError, GroundwireError, Unavailable
from rag.compose import open_bulk, open_services
from rag.govern.keys import KeyRing
from rag.settings import Settings

STATE_FILE = "server.json"
PROBE_TIMEOUT_S = 2.0
DEFAULT_TENANT = "default"

Engine = Literal["local", "ray"]
"""Where passages are embedded."""


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """What a running server leaves in its data folder. `token` opens it to whoever may read that folder."""

    url: str
    pid: int
    token: str | None = None


class Refused(CallerError):
    """The server will not do this as it was asked."""


class NotServed(DependencyError):
    """The server cannot do this now."""


def refusal(problem: dict[str, Any]) -> GroundwireError:
    """The error that a problem+json reply stands for, with the places of its faults."""
    places = [(fault.get("pointer") or fault.get("parameter"), fault["detail"]) for fault in problem.get("errors", ())]
    faults = "; ".join(f"{place}: {detail}" if place else detail for place, detail in places)
    text = faults or problem.get("detail") or problem.get("title") or "the server refused this"
    return NotServed(text) if problem.get("status", 0) >= httpx.codes.INTERNAL_SERVER_ERROR else Refused(text)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose base is the running server of this data folder, else this process itself."""
    state = await running_server(settings.data_dir)
    if state is not None:
        async with client_of(state) as client:
            yield client
        return
    from rag.serve.app import create_app  # a quarter of a second, which those who only index need not wait

    # Whoever may open the data folder needs no key for it.
    async with open_services(settings, KeyRing()) as services:
        app: Any = create_app(services, version=version("groundwire"))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=300.0) as client:
            yield client


@asynccontextmanager
async def indexing(settings: Settings, tenant: str, engine: Engine = "local") -> AsyncIterator[Index]:
    """How to index: through the running server of this data folder, else into the folder itself.

    Raises ConfigError when the server would put the documents into another tenant, or embed them in its own process.
    """
    state = await running_server(settings.data_dir)
    if state is None and engine == "ray":
        async with open_bulk(settings) as (library, store):
            yield LocalIndex(library, tenant, store.optimize)
        return
    if state is None:
        async with open_services(settings, KeyRing()) as services:
            yield LocalIndex(services.library, tenant, services.optimize)
        return
    if engine == "ray":
        raise ConfigError(
            f"the server at {state.url} holds this data folder and embeds by itself; stop it for --engine ray"
        )
    if tenant != DEFAULT_TENANT and "RAG_API_KEY" not in os.environ:
        raise ConfigError(
            f"the server at {state.url} holds this data folder and takes the tenant from the key; "
            f"set RAG_API_KEY to a key of the tenant '{tenant}', or stop the server"
        )
    async with client_of(state) as client:
        yield RemoteIndexer(client)


def client_of(state: ServerState) -> httpx.AsyncClient:
    """A client whose base is that server, with the key of the environment or else of the data folder."""
    token = os.environ.get("RAG_API_KEY") or state.token
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=state.url, headers=headers, timeout=300.0)


async def running_server(data_dir: Path) -> ServerState | None:
    """The server that holds the folder, if its state file is there and it answers."""
    state = _read_state(data_dir)
    if state is None:
        return None
    try:
        os.kill(state.pid, 0)
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S) as client:
            reply = await client.get(f"{state.url}/livez")
    except (OSError, httpx.HTTPError):
        return None
    return state if reply.status_code == httpx.codes.OK else None


def write_state(data_dir: Path, state: ServerState) -> None:
    """Leaves word of a running server, readable by this user only."""
    file = data_dir / STATE_FILE
    temporary = file.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(state))
    temporary.replace(file)


def remove_state(data_dir: Path) -> None:
    """Takes the word back at the end, unless another process has left its own in that place."""
    state = _read_state(data_dir)
    if state is not None and state.pid == os.getpid():
        (data_dir / STATE_FILE).unlink(missing_ok=True)


def _read_state(data_dir: Path) -> ServerState | None:
    try:
        return msgspec.json.decode((data_dir / STATE_FILE).read_bytes(), type=ServerState)
    except (OSError, msgspec.DecodeError):
        return None


async def asked(client: httpx.AsyncClient, method: str, path: str, **request: Any) -> Any:
    """The JSON of a successful reply. Raises Refused, NotServed, or Unavailable when the server went away."""
    try:
        reply = await client.request(method, path, **request)
    except httpx.HTTPError as fault:
        raise Unavailable(f"the server at {client.base_url} did not answer: {type(fault).__name__}") from fault
    if reply.is_success:
        return json.loads(reply.content) if reply.content else None
    raise refusal(json.loads(reply.content))
