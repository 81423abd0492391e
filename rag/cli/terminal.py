"""Text of others, made fit for a terminal."""

import json
import re

import click
import msgspec

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_NOT_ESCAPED_BY_JSON = re.compile(r"[\x7f-\x9f]")


def visible(text: str) -> str:
    """The text without what drives a terminal: a document could otherwise move the cursor or write the clipboard."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The same with one space for every run of white space."""
    return visible(" ".join(text.split()))


def json_text(value: object, *, indent: int | None = None) -> str:
    """The value as JSON that drives no terminal either: U+009B opens a command as the escape character does."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _NOT_ESCAPED_BY_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def echo_scores(scores: msgspec.Struct, *, as_json: bool) -> None:
    """Prints what was measured, a line for each, or as one JSON object."""
    if as_json:
        click.echo(msgspec.json.encode(scores))
        return
    fields = msgspec.to_builtins(scores)
    width = max(map(len, fields))
    for name, value in fields.items():
        click.echo(f"{name:{width}} {value:.3f}" if isinstance(value, float) else f"{name:{width}} {value}")
