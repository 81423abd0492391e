"""Access tokens, from a server that gives them out for a service account's signature."""

import asyncio
import json
import subprocess
import sys
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from llm.config import VertexConfig
from llm.google_token import google_signer
from llm.routing.outcomes import outcome_of
from llm.vertex import VertexWire
from rag.base.errors import Unavailable

pytestmark = pytest.mark.sockets

CONFIG = VertexConfig(model="gemini-2.5-flash", project="my-project", location="europe-west1")
STALE_S = 60
"""Within what google-auth takes for close to the end."""


class Tokens:
    """Gives out `token-1`, `token-2`, ... that hold for `expires_in` seconds."""

    def __init__(self, expires_in: int, status: int = 200) -> None:
        self.expires_in = expires_in
        self.status = status
        self.n_given = 0
        self.asked: list[dict[str, list[str]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        self.asked.append(parse_qs((await reader.readexactly(length)).decode()))
        self.n_given += 1
        if self.status == 200:
            told = {"access_token": f"token-{self.n_given}", "expires_in": self.expires_in, "token_type": "Bearer"}
        else:
            told = {"error": "invalid_grant"}
        body = json.dumps(told).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (self.status, len(body), body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
def key() -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture
async def account(monkeypatch, tmp_path, key):
    """Makes Google's libraries find a service account whose tokens come from the given server."""
    servers = []

    async def configured(tokens: Tokens) -> None:
        server = await asyncio.start_server(tokens.serve, "127.0.0.1", 0)
        servers.append(server)
        file = tmp_path / "account.json"
        told = {
            "type": "service_account",
            "client_email": "rag@my-project.iam.gserviceaccount.com",
            "private_key": key,
            "token_uri": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token",
        }
        file.write_text(json.dumps(told))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))

    yield configured
    for server in servers:
        server.close()
        await server.wait_closed()


async def authorization(wire: VertexWire) -> str:
    return (await wire.endpoint.request(b"{}")).headers["authorization"]


async def test_a_token_is_asked_for_once_and_sent_until_it_ends(account):
    tokens = Tokens(expires_in=3600)
    await account(tokens)
    wire = VertexWire(CONFIG, google_signer())
    sent = await asyncio.gather(*(authorization(wire) for _ in range(5)))
    assert sent == ["Bearer token-1"] * 5
    assert await authorization(wire) == "Bearer token-1"
    assert [list(asked) for asked in tokens.asked] == [["assertion", "grant_type"]]


async def test_a_token_that_is_about_to_end_is_renewed(account):
    await account(Tokens(expires_in=STALE_S))
    wire = VertexWire(CONFIG, google_signer())
    assert [await authorization(wire), await authorization(wire)] == ["Bearer token-1", "Bearer token-2"]


async def test_a_token_that_cannot_be_renewed_yet_is_sent_until_it_ends(account, caplog):
    tokens = Tokens(expires_in=STALE_S)
    await account(tokens)
    wire = VertexWire(CONFIG, google_signer())
    assert await authorization(wire) == "Bearer token-1"
    tokens.status = 400
    assert await asyncio.gather(*(authorization(wire) for _ in range(5))) == ["Bearer token-1"] * 5
    assert tokens.n_given == 2, "one asks, and nobody waits for it"
    assert "RefreshError" in caplog.text


async def test_an_account_that_is_refused_is_a_matter_of_credentials(account):
    await account(Tokens(expires_in=0, status=400))
    with pytest.raises(Unavailable, match="RefreshError") as caught:
        await authorization(VertexWire(CONFIG, google_signer()))
    assert outcome_of(caught.value) == "credentials", "another target is asked, and this one left alone"


async def test_a_file_that_is_not_there_is_a_matter_of_credentials(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(Unavailable, match="DefaultCredentialsError") as caught:
        await authorization(VertexWire(CONFIG, google_signer()))
    assert outcome_of(caught.value) == "credentials"
    assert "nowhere" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "host"),
    [("europe-west1", "europe-west1-aiplatform.googleapis.com"), ("global", "aiplatform.googleapis.com")],
)
def test_the_address_is_that_of_the_location(location, host):
    wire = VertexWire(VertexConfig(model="m", project="p", location=location))
    assert wire.endpoint.address == f"https://{host}"


WITHOUT = """
import sys

sys.modules["google.auth"] = None  # as if it were not installed

from llm.google_token import google_signer
from rag.base.errors import ConfigError

try:
    google_signer()
except ConfigError as error:
    print(error)
"""


def test_without_the_extra_a_model_that_needs_tokens_is_refused():
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert "install groundwire[vertex]" in run.stdout
