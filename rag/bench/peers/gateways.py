"""Other gateways, with one key each and nothing else switched on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rag.bench.peers.installed import npm_package, npm_version, program, python_versions
from rag.bench.process import HOST, Server, free_port, started

LITELLM = "litellm"
PORTKEY = "portkey"
MODEL = "bench"

Headers = tuple[tuple[str, str], ...]

_KEY = "sk-bench"
_LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://{host}:{port}/v1", api_key: sk-provider}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


@asynccontextmanager
async def litellm(folder: Path, provider_port: int) -> AsyncIterator[Server]:
    """LiteLLM's proxy, one worker. Raises ConfigError when it is not installed."""
    proxy = program("litellm", LITELLM, "pip install 'litellm[proxy]'")
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM.format(model=MODEL, host=HOST, port=provider_port, key=_KEY), encoding="utf-8")
    port = free_port()
    command = (proxy, "--config", str(config), "--host", HOST, "--port", str(port), "--num_workers", "1")
    environ = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    version = await python_versions(proxy, "litellm")
    async with started(LITELLM, command, port, ready="/health/liveliness", environ=environ, version=version) as server:
        yield server


def litellm_headers() -> Headers:
    """Its credentials."""
    return (("authorization", f"Bearer {_KEY}"),)


@asynccontextmanager
async def portkey() -> AsyncIterator[Server]:
    """Portkey's gateway on Node. Raises ConfigError when it is not installed."""
    node = program("node", PORTKEY, "install Node.js")
    script = npm_package("@portkey-ai/gateway", "build/start-server.js", PORTKEY)
    port = free_port()
    command = (node, str(script), f"--port={port}", "--headless")
    environ = {"NODE_ENV": "production"}
    version = f"@portkey-ai/gateway {npm_version(script)}"
    async with started(PORTKEY, command, port, ready="/", environ=environ, version=version) as server:
        yield server


def portkey_headers(provider_port: int) -> Headers:
    """Where it is to send a request, which it is told with every one."""
    return (
        ("authorization", "Bearer sk-provider"),
        ("x-portkey-provider", "openai"),
        ("x-portkey-custom-host", f"http://{HOST}:{provider_port}/v1"),
    )
