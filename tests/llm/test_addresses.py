"""What each wire sends over a real connection: the address that arrives is the one that was signed."""

import asyncio

import pytest

from llm.bedrock import BedrockWire
from llm.config import BedrockConfig, GeminiConfig, OpenAIConfig, VertexConfig
from llm.gemini import GeminiWire
from llm.openai import OpenAIWire
from llm.remote import RemoteModel, Wire
from llm.vertex import VertexWire
from rag.base.errors import Unavailable
from rag.base.secret import Secret
from rag.infer.transport import open_transport
from tests.upstream import events_of

pytestmark = pytest.mark.sockets

ARN = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/ab"
KEY = Secret("key")


def wires(base_url: str) -> dict[str, Wire]:
    azure = OpenAIConfig(base_url=base_url, model="m", api_version="2024-10-21", api_key=KEY, api_key_header="api-key")
    return {
        "/chat/completions?api-version=2024-10-21": OpenAIWire(azure),
        "/models/gemini:streamGenerateContent?alt=sse": GeminiWire(GeminiConfig(base_url=base_url, model="gemini")),
        "/projects/p/locations/eu/publishers/google/models/gemini:streamGenerateContent?alt=sse": VertexWire(
            VertexConfig(base_url=base_url, project="p", location="eu", model="gemini", api_key=KEY)
        ),
        "/model/amazon.nova-lite-v1:0/converse-stream": bedrock(base_url, "amazon.nova-lite-v1:0"),
        f"/model/{ARN.replace('/', '%2F')}/converse-stream": bedrock(base_url, ARN),
    }


def bedrock(base_url: str, model: str) -> BedrockWire:
    return BedrockWire(BedrockConfig(base_url=base_url, region="eu-west-1", model=model, api_key=KEY))


async def test_addresses_arrive_as_they_were_built():
    arrived: list[tuple[str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        host = next(line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("host"))
        arrived.append((head.split(" ")[1], host))
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_transport(1) as transport:
        for address, wire in wires(f"http://{host}").items():
            with pytest.raises(Unavailable, match="HTTP 503"):
                await events_of(RemoteModel(wire, transport))
            built = await wire.endpoint.request(b"")
            assert arrived.pop() == (address, host)
            assert (built.address.target, built.address.authority) == (address, host)
