"""A model in this process answers as one that is asked over the network does."""

import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from llm.config import LlamaConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.llama import PACKAGED, open_llama
from llm.registry import open_models
from llm.tariff import tariff_of
from rag.base.deadline import Deadline
from rag.base.errors import ConfigError, GroundwireError
from rag.base.types import Finished, TextDelta, Usage
from tests.fakes import HashingEmbedder
from tests.gguf import write_tiny_model
from tests.prompts import a_prompt

needs_llama = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs the extra `llama`")
pytestmark = pytest.mark.sockets


@needs_llama
async def test_it_answers_in_pieces_and_counts_its_tokens(tmp_path: Path) -> None:
    config = LlamaConfig(file=str(write_tiny_model(tmp_path / "tiny.gguf")), context_tokens=512, threads=1)
    async with open_models(Catalogue(models={"local": config}), Parts(embedder=HashingEmbedder())) as models:
        assert models["local"].name == "tiny"
        events = [event async for event in models["local"].stream(a_prompt("hello", max_tokens=8), Deadline.after(60))]
        usage = next(event for event in events if isinstance(event, Usage))
        assert (usage.output_tokens, usage.estimated) == (8, False)
        assert any(isinstance(event, TextDelta) for event in events)
        assert isinstance(events[-1], Finished)
        with pytest.raises(GroundwireError, match="longer than this model reads"):
            [event async for event in models["local"].stream(a_prompt("hello " * 999), Deadline.after(60))]


@needs_llama
async def test_nobody_else_may_ask_it_and_it_ends(tmp_path: Path) -> None:
    config = LlamaConfig(file=str(write_tiny_model(tmp_path / "tiny.gguf")), context_tokens=256, parallel=1, threads=1)
    async with open_llama(config) as remote, httpx.AsyncClient(base_url=remote.base_url) as client:
        assert remote.base_url.startswith("http://127.0.0.1:")
        assert (await client.post("/chat/completions", json={"messages": []})).status_code == 401
        assert (await client.get("/models")).status_code == 401
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(remote.base_url)


async def opened(file: str) -> None:
    async with open_llama(LlamaConfig(file=file)):
        pass


@needs_llama
async def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        await opened(str(tmp_path / "none.gguf"))
    (tmp_path / "text.gguf").write_text("words")
    with pytest.raises(ConfigError, match="no GGUF file"):
        await opened(str(tmp_path / "text.gguf"))
    (tmp_path / "torn.gguf").write_bytes(write_tiny_model(tmp_path / "tiny.gguf").read_bytes()[:5000])
    with pytest.raises(ConfigError, match="cannot load"):
        await opened(str(tmp_path / "torn.gguf"))


async def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigError, match=r"groundwire\[llama\]"):
        await opened("any.gguf")


@needs_llama
async def test_a_model_of_a_package_goes_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED, "small", ("no_such_package", "small.gguf"))
    with pytest.raises(ConfigError, match="make llama"):
        await opened("small")


def test_it_costs_nothing() -> None:
    tariff = tariff_of(LlamaConfig(file="any.gguf"))
    assert tariff is not None
    assert tariff.cost(Usage(input_tokens=1000, output_tokens=1000)) == 0
