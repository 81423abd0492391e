"""Every example in the page about providers is a whole settings file, and its model opens."""

import re
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import httpx
import pytest
from msgspec.structs import replace

from llm.config import BedrockConfig, ExtractiveConfig, LlamaConfig, ModelConfig, VertexConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import open_models
from rag.settings import load_settings, shown
from tests.fakes import HashingEmbedder
from tests.gguf import write_tiny_model
from tests.remote_models import mocked

PAGE = Path(__file__).resolve().parent.parent / "docs" / "providers.md"
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@asynccontextmanager
async def pool(max_connections: int):
    yield mocked(lambda _: httpx.Response(503))


def loaded(example: str, folder: Path):
    file = folder / "rag.toml"
    file.write_text(example, encoding="utf-8")
    return load_settings(file, dict.fromkeys(re.findall(r'"env:(\w+)"', example), "hidden-key"))


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda text: re.findall(r"^model = \"(\w+)\"", text, re.MULTILINE)[-1]
)
async def test_an_example_is_a_settings_file_whose_model_opens(example, tmp_path):
    settings = loaded(example, tmp_path)
    assert settings.answer.model in settings.models.keys() | settings.routes.keys()
    assert b"hidden-key" not in shown(settings)
    needing = {
        BedrockConfig: ("botocore", "bedrock"),
        VertexConfig: ("google.auth", "vertex"),
        LlamaConfig: ("xllamacpp", "llama"),
    }
    for module, extra in [needing[type(one)] for one in settings.models.values() if type(one) in needing]:
        if find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"the extra `{extra}` is not installed")
    tiny = str(write_tiny_model(tmp_path / "tiny.gguf"))
    opening = {
        name: replace(config, file=tiny) if isinstance(config, LlamaConfig) else config
        for name, config in settings.models.items()
    }
    catalogue = Catalogue(models=opening, routes=settings.routes)
    async with open_models(catalogue, Parts(embedder=HashingEmbedder(), transport=pool)) as models:
        assert {name: models[name].name for name in settings.models} == {
            name: "tiny" if isinstance(config, LlamaConfig) else config.model for name, config in opening.items()
        }
        assert models[settings.answer.model].name


def test_every_kind_has_an_example(tmp_path):
    shown_kinds = {type(config) for example in EXAMPLES for config in loaded(example, tmp_path).models.values()}
    assert shown_kinds == set(get_args(ModelConfig)) - {ExtractiveConfig}
