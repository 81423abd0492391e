"""Every example in the page about providers is a whole settings file, and its model opens."""

import re
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import httpx
import pytest

from llm.config import BedrockConfig, ExtractiveConfig, ModelConfig
from llm.factory import open_models
from rag.settings import load_settings, shown
from tests.fakes import HashingEmbedder

PAGE = Path(__file__).resolve().parent.parent / "docs" / "providers.md"
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@asynccontextmanager
async def pool(max_connections: int):
    yield httpx.MockTransport(lambda _: httpx.Response(503))


def loaded(example: str, folder: Path):
    file = folder / "rag.toml"
    file.write_text(example, encoding="utf-8")
    return load_settings(file, dict.fromkeys(re.findall(r'"env:(\w+)"', example), "hidden-key"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.findall(r"\[models\.(\w+)\]", text)[0])
async def test_an_example_is_a_settings_file_whose_model_opens(example, tmp_path):
    settings = loaded(example, tmp_path)
    [(name, config)] = settings.models.items()
    assert settings.answer.model == name
    assert b"hidden-key" not in shown(settings)
    if isinstance(config, BedrockConfig) and config.api_key is None and find_spec("botocore") is None:
        pytest.skip("the extra `bedrock` is not installed")
    async with open_models(settings.models, embedder=HashingEmbedder(), transport=pool) as models:
        assert models[name].name == config.model


def test_every_kind_has_an_example(tmp_path):
    shown_kinds = {type(config) for example in EXAMPLES for config in loaded(example, tmp_path).models.values()}
    assert shown_kinds == set(get_args(ModelConfig)) - {ExtractiveConfig}
