"""`rag prompts`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rag.base.errors import CallerError
from rag.cli.main import rag

TOML = """
prompts_dir = "prompts"
[prompts.answer]
labels = { production = 1, staging = 2 }
[routes.best]
targets = [{ model = "extractive" }]
prompt = "answer@staging"
"""
TEXT = "# system\nBe brief.\n# user\n{sources}\n{question}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "answer.v2.md").write_text(TEXT)
    file = tmp_path / "rag.toml"
    file.write_text(TOML)
    return file


def said(file: Path, *arguments: str) -> str:
    run = CliRunner().invoke(rag, ["--config", str(file), "prompts", *arguments], catch_exceptions=False)
    assert run.exit_code == 0
    return run.stdout


def test_versions_are_listed_with_what_leads_to_them(file: Path) -> None:
    listed = [row for row in json.loads(said(file, "list", "--json")) if row["name"] == "answer"]
    assert [(row["version"], row["shipped"], row["labels"], row["used_by"]) for row in listed] == [
        (1, True, ["production"], ["answer.prompt"]),
        (2, False, ["staging"], ["routes.best.prompt"]),
    ]
    told = said(file, "list")
    assert f"answer@2  {listed[1]['template']}  yours  staging  routes.best.prompt" in told


def test_a_prompt_is_shown_as_it_was_written(file: Path) -> None:
    assert said(file, "show", "answer@staging") == said(file, "show", "answer@2") == TEXT
    assert said(file, "show", "answer") == said(file, "show", "answer@1") != TEXT
    with pytest.raises(CallerError, match="there is no prompt 'answer@best'; there is: answer@1"):
        said(file, "show", "answer@best")
