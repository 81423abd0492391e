"""Defaults < file < environment, and every fault named by its path."""

from pathlib import Path

import pytest

from llm.config import OpenAIConfig
from rag.base.errors import ConfigError
from rag.index.config import EdgeConfig
from rag.index.embedders.config import HttpEmbedderConfig, OnnxEmbedderConfig
from rag.settings import load_settings, shown

SUMMARY = """
[routes.r]
targets = [{{ model = 'extractive' }}]
parameters = {{ history_tokens = 1000 }}
summary = {{ {} }}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rag.toml"


def test_nothing_configured_gives_the_defaults() -> None:
    settings = load_settings(environ={"HOME": "/nowhere", "OTHER": "x"})
    assert settings.server.host == "127.0.0.1"
    assert settings.answer.model == "extractive"


def test_a_section_without_a_kind_is_of_the_default_kind(file: Path) -> None:
    file.write_text("[index]\nthreads = 2\n")
    settings = load_settings(file, {"RAG__EMBEDDER__N_SESSIONS": "3"})
    assert settings.index == EdgeConfig(threads=2)
    assert settings.embedder == OnnxEmbedderConfig(n_sessions=3)
    remote = {"KIND": "http", "BASE_URL": "http://up/v1", "MODEL": "m", "DIMENSION": "8"}
    settings = load_settings(file, {f"RAG__EMBEDDER__{key}": value for key, value in remote.items()})
    assert settings.embedder == HttpEmbedderConfig(base_url="http://up/v1", model="m", dimension=8)


def test_the_environment_wins_over_the_file(file: Path) -> None:
    file.write_text('data_dir = "here"\n[server]\nport = 1\nhost = "localhost"\n[fields]\nyear = "integer"\n')
    settings = load_settings(file, {"RAG__SERVER__PORT": "2", "RAG__FIELDS__TEAM": "keyword"})
    assert (settings.server.port, settings.server.host) == (2, "localhost")
    assert settings.fields == {"year": "integer", "team": "keyword"}
    assert settings.data_dir == file.parent / "here", "relative to the file that says so"


def test_lists_and_objects_come_from_the_environment_as_json() -> None:
    settings = load_settings(environ={"RAG__FUSION__WEIGHTS": '{"dense": 2.0, "bm25": 1.0}'})
    assert settings.fusion.weights.dense == 2.0


def test_secrets_are_read_from_where_they_are_and_never_shown(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from-file\n")
    file.write_text(
        f"""
        [models.one]
        kind = "openai"
        base_url = "http://localhost:1/v1"
        model = "m"
        api_key = "env:THE_KEY"
        [models.two]
        kind = "openai"
        base_url = "http://localhost:1/v1"
        model = "m"
        api_key = "file:{secret}"
        """
    )
    settings = load_settings(file, {"THE_KEY": "from-env"})
    one, two = settings.models["one"], settings.models["two"]
    assert isinstance(one, OpenAIConfig)
    assert isinstance(two, OpenAIConfig)
    assert one.api_key is not None
    assert two.api_key is not None
    assert (one.api_key.reveal(), two.api_key.reveal()) == ("from-env", "from-file")
    text = shown(settings).decode()
    assert "from-" not in text
    assert '"***"' in text
    assert "from-" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "environ", "place"),
    [
        ("[server]\nport = '1'\n", {}, "$.server.port"),
        ("[server]\nprot = 1\n", {}, "$.server"),
        ("[nothing]\nx = 1\n", {}, "$"),
        ("[server]\nport = 99999\n", {}, "$.server.port"),
        ("[answer]\nmodel = 'gpt'\n", {}, "$.answer.model"),
        ("[cache.replies]\nmodels = ['gpt']\n", {}, "$.cache.replies.models[0]"),
        ("[answer]\nprompt = 'answer@staging'\n", {}, "$.answer.prompt"),
        ("[answer]\nprompt = 'Answer 2'\n", {}, "$.answer.prompt"),
        ("[answer]\nallowed_prompts = ['answer@9']\n", {}, "$.answer.allowed_prompts[0]"),
        ("[prompts.answer]\nlabels = { production = 2 }\n", {}, "$.prompts.answer.labels.production"),
        ("[prompts.answer.versions]\n2 = 'Answer!'\n", {}, "$.prompts.answer.versions.2"),
        ("prompts_dir = 'nowhere'\n", {}, "$.prompts_dir"),
        (SUMMARY.format("model = 'extractive'"), {}, "$.routes.r.summary.model"),
        (SUMMARY.format("model = 'r', prompt = 'answer'"), {}, "$.routes.r.summary.prompt"),
        ("[routes.r]\ntargets = [{ model = 'extractive' }]\nprompt = 'short'\n", {}, "$.routes.r.prompt"),
        ("[models.extractive]\nkind = 'openai'\nbase_url='http://h/v1'\nmodel='m'\n", {}, "$.models"),
        ("[models.m]\nkind = 'magic'\n", {}, "$.models"),
        ("[models.m]\nkind='openai'\nbase_url='http://h/v1'\nmodel='m'\napi_key='env:NO'\n", {}, "$.models"),
        ("", {"RAG__SERVER__PORT": "many"}, "$.server.port"),
        ("", {"RAG__SERVER": "x"}, "$.server"),
    ],
)
def test_a_fault_rejects_everything_and_is_named(file: Path, text: str, environ: dict[str, str], place: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_settings(file, environ)
    assert refused.value.path.startswith(place)
    assert place in str(refused.value)


def test_a_file_that_is_not_toml_or_not_there_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"rag\.toml"):
        load_settings(file, {})
    file.write_text("[")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(file, {})
    with pytest.raises(ConfigError, match="starts like JSON"):
        load_settings(environ={"RAG__FUSION__WEIGHTS": "{"})


def test_a_bad_name_of_a_table_is_refused_at_its_table():
    with pytest.raises(ConfigError, match=r"^setting \$\.accounts: Expected") as refused:
        load_settings(None, {"RAG__ACCOUNTS": '{"a b": {}}'})
    assert refused.value.path == "$.accounts"
