"""`rag models`."""

import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from rag.base.errors import CallerError
from rag.cli import options
from rag.infer.hub import fetch, licence_of, original, require_torch_extra, source_of
from rag.infer.models import SHIPPED, ModelFolder, Task, damaged_files, exported_folder, models_in, shipped_models

UNKNOWN_LICENCE = "unknown"
WARNING = "note: the licence of this model is not known here; read its card on the hub before you use it"


@click.group("models")
def command() -> None:
    """List, verify, export and fetch models."""


@command.command("list")
@options.as_json
@click.pass_context
def list_models(ctx: click.Context, as_json: bool) -> None:
    """List the models that come with Groundwire, and those exported into the data folder."""
    models = _models(ctx)
    if as_json:
        click.echo(msgspec.json.encode([model.card for model in models]))
        return
    for model in models:
        n_bytes = model.weights.stat().st_size
        card = model.card
        name = model.path.name.replace("--", "/")
        click.echo(
            f"{name:32} {card.task:7} {card.precision:14} {n_bytes / 1e6:7.1f} MB  {card.licence}  {card.source}"
        )


@command.command("verify")
@options.as_json
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Compare every file with the sha256 on its model's card; exit with 1 if one differs."""
    damaged = {model.path.name.replace("--", "/"): damaged_files(model) for model in _models(ctx)}
    if as_json:
        click.echo(msgspec.json.encode({name: {"damaged": files} for name, files in damaged.items()}))
    else:
        for name, files in damaged.items():
            click.echo(f"{name}: {'damaged: ' + ', '.join(files) if files else 'intact'}")
    sys.exit(1 if any(damaged.values()) else 0)


def _exporting(function: Any) -> Any:
    """The options of the two commands that export."""
    for option in reversed(
        (
            click.option("--task", type=click.Choice(get_args(Task)), required=True, help="What the model is for."),
            click.option("--precision", type=click.Choice(["int8", "fp32"]), default="int8", show_default=True),
            click.option("--licence", help="For the card [default: what the model's README says]."),
            click.option(
                "--metrics",
                type=click.File("rb"),
                help="For the card: what `rag eval retrieval --json` wrote for this model.",
            ),
            click.option("--query-prefix", help="Put before questions [default: what the model's settings say]."),
            click.option("--passage-prefix", help="Put before passages [default: what the model's settings say]."),
            click.option(
                "--max-length-tokens", type=click.IntRange(8), help="Cut texts there [default: the model's limit]."
            ),
            options.as_json,
        )
    ):
        function = option(function)
    return click.pass_context(function)


@command.command("export")
@click.argument("model", metavar="HF_ID_OR_DIR")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write [default: one in the data folder, where the settings find it by name].",
)
@_exporting
def export_model(ctx: click.Context, model: str, output: Path | None, **how: Any) -> None:
    """Make a model folder of an original: a transformers folder, or a hub id that is in the local cache.

    Checks the result against sentence-transformers and refuses to write one that differs. Needs the torch extra.
    """
    require_torch_extra("exporting a model")
    _export(ctx, model, original(model), output, how)


@command.command("pull")
@click.argument("hub_id", metavar="HF_ID")
@click.option("--revision", help="A branch, tag or commit [default: main].")
@_exporting
def pull(ctx: click.Context, hub_id: str, revision: str | None, **how: Any) -> None:
    """Fetch a model from the Hugging Face hub and export it into the data folder. Needs the torch extra.

    This is the only command that goes to the hub.
    """
    require_torch_extra("fetching a model")
    _export(ctx, hub_id, fetch(hub_id, revision), None, how)


def _models(ctx: click.Context) -> list[ModelFolder]:
    return [*shipped_models(), *models_in(options.settings_of(ctx).models_dir)]


def _figures(run: bytes) -> dict[str, Any]:
    """What a run of `rag eval retrieval --json` found, less its hundreds of single queries."""
    found = msgspec.json.decode(run, type=dict[str, Any])
    return {name: value for name, value in found.items() if name != "per_query"}


def _export(ctx: click.Context, name: str, folder: Path, output: Path | None, how: dict[str, Any]) -> None:
    """Exports `folder` and prints what to write into the settings."""
    from rag.infer.export import Recipe, export

    as_json, metrics = how.pop("as_json"), how.pop("metrics")
    licence = how.pop("licence") or licence_of(folder) or UNKNOWN_LICENCE
    is_folder = Path(name).expanduser().is_dir()
    known_as = folder.resolve().name if is_folder else name
    target = output or exported_folder(options.settings_of(ctx).models_dir, known_as)
    if target.resolve() == folder.resolve():
        raise CallerError(f"{target} holds the original: give another folder with --output")
    if output is None and (SHIPPED / known_as).is_dir():
        raise CallerError(f"a model named '{known_as}' ships with Groundwire and would be taken: give --output")
    recipe = Recipe(
        name=known_as.rpartition("/")[2],
        licence=licence,
        source=source_of(name, folder),
        created=datetime.now(UTC).date().isoformat(),
        metrics=_figures(metrics.read()) if metrics else {},
        **how,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about itself
        card = export(folder, target, recipe)
    if licence == UNKNOWN_LICENCE:
        click.echo(WARNING, err=True)
    if as_json:
        click.echo(msgspec.json.encode(card | {"path": str(target)}))
        return
    section = "embedder" if recipe.task == "embed" else "reranker"
    click.echo(f'wrote {target}\n\n[{section}]\nkind = "onnx"\nmodel = "{target if output else known_as}"')
