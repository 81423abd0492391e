"""`rag models`."""

import sys

import click
import msgspec

from rag.cli import options
from rag.infer.models import damaged_files, shipped_models


@click.group("models")
def command() -> None:
    """The models on this machine."""


@command.command("list")
@options.as_json
def list_models(as_json: bool) -> None:
    """List the models that come with Groundwire."""
    models = shipped_models()
    if as_json:
        click.echo(msgspec.json.encode([model.card for model in models]))
        return
    for model in models:
        n_bytes = model.weights.stat().st_size
        card = model.card
        click.echo(
            f"{card.name:24} {card.task:7} {card.precision:13} {n_bytes / 1e6:6.1f} MB  {card.licence}  {card.source}"
        )


@command.command("verify")
@options.as_json
def verify(as_json: bool) -> None:
    """Compare every file with the sha256 on its model's card; exit with 1 if one differs."""
    damaged = {model.card.name: damaged_files(model) for model in shipped_models()}
    if as_json:
        click.echo(msgspec.json.encode({name: {"damaged": files} for name, files in damaged.items()}))
    else:
        for name, files in damaged.items():
            click.echo(f"{name}: {'damaged: ' + ', '.join(files) if files else 'intact'}")
    sys.exit(1 if any(damaged.values()) else 0)
