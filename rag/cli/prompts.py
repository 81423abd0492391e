"""`rag prompts`."""

from collections.abc import Iterator, Sequence

import click
import msgspec

from rag.base.errors import CallerError
from rag.cli import options
from rag.pipeline.prompts import PromptBook, Version
from rag.settings import Settings


@click.group("prompts")
def command() -> None:
    """List and show prompts."""


@command.command("list")
@options.as_json
@click.pass_context
def list_prompts(ctx: click.Context, as_json: bool) -> None:
    """Print every version of every prompt, with its labels and the settings that lead to it."""
    settings = options.settings_of(ctx)
    book = PromptBook(settings.prompts)
    rows = [(name, version, labels, _users(settings, book, name, version)) for name, version, labels in book]
    if as_json:
        click.echo(msgspec.json.encode([_row(*row) for row in rows]))
        return
    for name, version, labels, users in rows:
        origin = "shipped" if version.is_shipped else "yours"
        click.echo(f"{name}@{version.number}  {version.template.name}  {origin}  {_told(labels)}  {_told(users)}")


@command.command("show")
@click.argument("reference", metavar="NAME[@LABEL]")
@click.pass_context
def show(ctx: click.Context, reference: str) -> None:
    """Print the text of a prompt: of a label, of a version by its number, or what the bare name means now."""
    book = PromptBook(options.settings_of(ctx).prompts)
    version = book.find(reference)
    if version is None:
        raise CallerError(f"there is no prompt '{reference}'; there is: {book.known}")
    click.echo(version.text, nl=not version.text.endswith("\n"))


def _users(settings: Settings, book: PromptBook, name: str, version: Version) -> tuple[str, ...]:
    """The settings that mean this version now."""
    return tuple(
        place
        for place, reference in _references(settings)
        if reference.partition("@")[0] == name and book.find(reference) == version
    )


def _references(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "answer.prompt", settings.answer.prompt
    for name, route in settings.routes.items():
        if route.prompt is not None:
            yield f"routes.{name}.prompt", route.prompt
        if route.summary is not None:
            yield f"routes.{name}.summary.prompt", route.summary.prompt


def _row(name: str, version: Version, labels: Sequence[str], users: Sequence[str]) -> dict[str, object]:
    return {
        "name": name,
        "version": version.number,
        "template": version.template.name,
        "shipped": version.is_shipped,
        "labels": labels,
        "used_by": users,
    }


def _told(words: Sequence[str]) -> str:
    return ", ".join(words) or "-"
