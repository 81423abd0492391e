"""Commands that take a question refuse one that says nothing, before they open or call anything."""

import pytest
from click.testing import CliRunner

from rag.cli.main import rag


@pytest.mark.parametrize("command", [["ask"], ["search"], ["cache", "explain"]])
@pytest.mark.parametrize("nothing", ["", " \n"])
def test_an_empty_question_is_named(command: list[str], nothing: str):
    refused = CliRunner().invoke(rag, [*command, nothing])
    assert refused.exit_code == 2
    assert "it is empty" in refused.output
