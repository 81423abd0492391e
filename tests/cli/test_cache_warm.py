"""`rag cache warm`: which questions a file asks, and in what order."""

import json

import click
import pytest

from rag.cli.cache_warm import questions_in


def record(question: str | None, **members: object) -> str:
    return json.dumps({"id": "1", "tenant": "acme", "kind": "ask", "question": question} | members)


def test_the_most_frequent_comes_first_and_each_once() -> None:
    assert questions_in(["When?\n", "\n", "Who?", "Why?", " Who? \n"], "acme") == ["Who?", "When?", "Why?"]


def test_records_of_others_chats_and_those_without_text_are_left_out() -> None:
    lines = [record("When?"), record(None), record("Who?", tenant="other"), record("Write a poem", kind="chat"), "Why?"]
    assert questions_in(lines, "acme") == ["When?", "Why?"]


@pytest.mark.parametrize("line", ["{broken", '{"question": 1}'])
def test_a_line_that_is_no_record_is_refused_without_its_text(line: str) -> None:
    with pytest.raises(click.BadParameter, match="no record"):
        questions_in([line], "acme")
