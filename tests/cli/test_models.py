"""`rag models`, from the originals to models that serve."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rag.base.deadline import Deadline
from rag.base.errors import CallerError, ConfigError, Unavailable
from rag.base.types import Work
from rag.cli.main import rag
from rag.index.embedders.config import OnnxEmbedderConfig, TorchEmbedderConfig
from rag.index.embedders.factory import open_embedder
from rag.infer.models import SHIPPED, open_model, tokenizer_file
from rerank.blended import BlendingReranker
from rerank.config import OnnxRerankConfig
from rerank.factory import open_reranker
from tests.tiny_models import save_bi_encoder, save_model

ROOT = Path(__file__).resolve().parents[2]
RAG = [sys.executable, "-c", "from rag.cli.main import main; main()"]
SHIPPED_NAME = "all-minilm-l6-v2"
TEXTS = ["how do i error the signing key", "quick brown fox", "yes", ""]
WORK = Work(tenant="acme", deadline=Deadline(at_s=float("inf")))


class Models:
    """`rag models` over a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models_dir = folder / "data" / "models"

    def run(self, *arguments: object) -> Result:
        command = ["--data-dir", str(self.folder / "data"), "models", *map(str, arguments)]
        return CliRunner().invoke(rag, command)

    def fails(self, *arguments: object) -> BaseException:
        error = self.run(*arguments).exception
        assert error is not None
        return error

    def copy_shipped(self, name: str) -> Path:
        return Path(shutil.copytree(SHIPPED / SHIPPED_NAME, self.models_dir / name))


@pytest.fixture
def models(tmp_path) -> Models:
    return Models(tmp_path)


def test_what_ships_and_what_was_exported_here_is_listed(models):
    models.copy_shipped("acme--mini")
    names = [line.split()[0] for line in models.run("list").stdout.splitlines()]
    assert SHIPPED_NAME in names
    assert names[-1] == "acme/mini"
    cards = json.loads(models.run("list", "--json").stdout)
    assert len(cards) == len(names)
    assert all(card["licence"] and card["source"] for card in cards)


def test_a_damaged_file_is_named_and_the_exit_code_says_so(models):
    assert models.run("verify").exit_code == 0
    folder = models.copy_shipped("acme--mini")
    with (folder / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    run = models.run("verify", "--json")
    assert run.exit_code == 1
    found = json.loads(run.stdout)
    assert found["acme/mini"] == {"damaged": ["tokenizer.json"]}
    assert found[SHIPPED_NAME] == {"damaged": []}
    assert "acme/mini: damaged: tokenizer.json" in models.run("verify").stdout


def test_a_card_that_cannot_be_read_is_an_error_that_names_it(models):
    folder = models.copy_shipped("acme--mini")
    (folder / "card.json").write_text('{"name": "mini"}', encoding="utf-8")
    error = models.fails("list")
    assert isinstance(error, ConfigError)
    assert str(folder / "card.json") in str(error)


def test_a_model_is_found_by_its_shipped_name_its_folder_and_its_hub_id(models):
    folder = models.copy_shipped("acme--mini")
    assert open_model(SHIPPED_NAME, "embed", models.models_dir).path == SHIPPED / SHIPPED_NAME
    assert open_model(str(folder), "embed").path == folder
    assert open_model("acme/mini", "embed", models.models_dir).path == folder
    assert tokenizer_file("acme/mini", models.models_dir) == folder / "tokenizer.json"
    assert tokenizer_file(str(folder)) == tokenizer_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("BAAI/bge-small-en-v1.5", "rag models pull BAAI/bge-small-en-v1.5 --task embed"),
        ("all-minilm", SHIPPED_NAME),
        ("../gone", "nor a folder with a card.json"),
    ],
)
def test_a_model_that_is_not_here_is_an_error_that_says_how_to_get_it(models, name, advice):
    with pytest.raises(ConfigError) as raised:
        open_model(name, "embed", models.models_dir)
    assert advice in str(raised.value)
    assert ("models pull" in str(raised.value)) is (name.count("/") == 1 and name[0] != ".")


def test_a_folder_that_is_not_exported_yet_is_an_error_that_names_the_export(tmp_path):
    with pytest.raises(ConfigError, match="rag models export"):
        open_model(str(tmp_path), "embed")


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None, reason="the torch extra is installed here"
)
@pytest.mark.parametrize("command", ["export", "pull"])
def test_without_the_torch_extra_the_error_names_it_and_the_way_around(models, command):
    error = models.fails(command, "acme/mini", "--task", "embed")
    assert isinstance(error, ConfigError)
    assert "pip install 'groundwire[torch]'" in str(error)
    assert "copy the folder" in str(error)


@pytest.mark.torch
def test_without_a_network_nothing_is_fetched_and_the_error_names_the_way_around(models, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(models.folder / "hub"))
    error = models.fails("pull", "acme/mini", "--task", "embed")
    assert isinstance(error, Unavailable)
    assert "copy the folder" in str(error)
    error = models.fails("export", "acme/mini", "--task", "embed")
    assert isinstance(error, ConfigError)
    assert "rag models pull acme/mini" in str(error)
    assert not models.models_dir.exists()


@pytest.mark.torch
async def test_an_exported_embedder_serves_and_gives_the_vectors_of_the_original(models):
    original = models.folder / "tiny"
    save_bi_encoder(original, prompts={"query": "question ", "document": ""})
    (original / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# Tiny\n", encoding="utf-8")
    run = models.run("export", original, "--task", "embed", "--precision", "fp32", "--json")
    assert run.exit_code == 0, run.stderr
    card = json.loads(run.stdout)
    assert (card["name"], card["licence"], card["query_prefix"]) == ("tiny", "mit", "question ")
    assert models.run("verify").exit_code == 0
    served, original_config = OnnxEmbedderConfig(model="tiny"), TorchEmbedderConfig(model=str(original), device="cpu")
    async with (
        open_embedder(served, models.models_dir) as (onnx, counter),
        open_embedder(original_config, models.models_dir) as (torch, other_counter),
    ):
        assert counter.encode(TEXTS[0]).ids == other_counter.encode(TEXTS[0]).ids
        for role in ("query", "passage"):
            found, wanted = await onnx.embed(TEXTS, role, WORK), await torch.embed(TEXTS, role, WORK)
            assert np.abs(found - wanted).max() <= 1e-5
        assert onnx.name != torch.name, "an index of one is not searched with the other"


@pytest.mark.torch
async def test_an_exported_cross_encoder_serves(models):
    save_model(models.folder / "tiny", scored=True)
    run = models.run("export", models.folder / "tiny", "--task", "rerank", "--output", models.folder / "out")
    assert run.exit_code == 0, run.stderr
    assert f'model = "{models.folder / "out"}"' in run.stdout
    assert "licence of this model is not known" in run.stderr
    async with open_reranker(OnnxRerankConfig(model=str(models.folder / "out")), models.models_dir) as reranker:
        assert isinstance(reranker, BlendingReranker)
        score = reranker.scorer.score
        alone = [(await score("how do i", [text], WORK))[0] for text in TEXTS]
        assert await score("how do i", TEXTS, WORK) == pytest.approx(alone, abs=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("command", ["pull", "export"])
def test_a_hub_id_in_the_local_cache_becomes_a_model_that_the_settings_find_by_it(models, command):
    """In a process of its own: the hub's client reads its environment once."""
    commit, repository = "a" * 40, models.folder / "hub" / "models--acme--tiny"
    save_bi_encoder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    metrics = models.folder / "metrics.json"
    metrics.write_text('{"dense": {"ndcg@10": 0.7}}', encoding="utf-8")
    run = subprocess.run(
        [*RAG, "--data-dir", "data", "models", command, "acme/tiny", "--task", "embed", "--metrics", metrics],
        cwd=models.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_CACHE": str(models.folder / "hub"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert 'model = "acme/tiny"' in run.stdout
    card = open_model("acme/tiny", "embed", models.models_dir).card
    assert (card.name, card.source) == ("tiny", f"https://huggingface.co/acme/tiny/tree/{commit}")
    assert card.metrics == {"dense": {"ndcg@10": 0.7}}


@pytest.mark.torch
def test_an_original_of_the_other_task_or_no_original_is_refused(models):
    save_model(models.folder / "tiny", scored=False)
    (models.folder / "empty").mkdir()
    assert isinstance(models.fails("export", models.folder / "empty", "--task", "embed"), CallerError)
    error = models.fails("export", models.folder / "tiny", "--task", "embed", "--output", models.folder / "tiny")
    assert "--output" in str(error)
    save_model(models.folder / SHIPPED_NAME, scored=False)
    error = models.fails("export", models.folder / SHIPPED_NAME, "--task", "embed")
    assert "--output" in str(error), "the shipped one of that name would be taken"
