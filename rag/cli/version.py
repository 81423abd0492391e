"""`rag version`."""

import platform
from importlib.metadata import version

import click

from rag.cli import options

PARTS = ("groundwire", "onnxruntime", "qdrant-edge-py", "qdrant-client", "litestar", "uvicorn", "kreuzberg")


@click.command("version")
@options.as_json
def command(as_json: bool) -> None:
    """Print the versions of Groundwire and of what it stands on."""
    import json

    versions = {"python": platform.python_version(), **{part: version(part) for part in PARTS}}
    if as_json:
        click.echo(json.dumps(versions))
    else:
        click.echo("\n".join(f"{part} {number}" for part, number in versions.items()))
