"""Text of others on a terminal: it is shown, and does nothing."""

import json

import pytest
from click.testing import CliRunner

from rag.cli.main import rag
from rag.cli.terminal import json_text, one_line, visible

DRIVING = "a\x1b[2Jb\x07c\x9b2Jd\x7fe"


def test_what_drives_a_terminal_is_replaced():
    assert visible(DRIVING) == "a\ufffd[2Jb\ufffdc\ufffd2Jd\ufffde"
    assert one_line(f"x\n\ty {DRIVING}").startswith("x y a\ufffd")


@pytest.mark.parametrize("indent", [None, 2])
def test_json_says_the_same_and_drives_nothing(indent):
    text = json_text({"text": DRIVING, "\x9b": ["ü"]}, indent=indent)
    assert json.loads(text) == {"text": DRIVING, "\x9b": ["ü"]}
    assert not any(sign in text for sign in "\x1b\x07\x9b\x7f")
    assert "ü" in text


def test_a_document_that_fails_cannot_drive_the_terminal(tmp_path):
    line = json.dumps({"uri": f"note:{DRIVING}[red]", "text": " "})
    told = CliRunner().invoke(rag, ["--data-dir", str(tmp_path), "ingest", "-"], input=line)
    assert "failed note:a" in told.stderr
    assert not any(sign in told.stderr for sign in "\x1b\x07\x9b\x7f")
