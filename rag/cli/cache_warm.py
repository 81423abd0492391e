"""`rag cache warm`."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import IO

import click
import msgspec

from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import one_line


class _Logged(msgspec.Struct, frozen=True):
    """What counts of a line of `rag log export`."""

    question: str | None = None
    tenant: str | None = None
    kind: str = "ask"


@click.command("warm")
@click.argument("questions", type=click.File("r", encoding="utf-8"))
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True, help="Ask at most so many.")
@click.option("--tenant", default="default", show_default=True, help="Whose questions, where the lines say it.")
@options.as_json
@click.pass_context
def warm(ctx: click.Context, questions: IO[str], limit: int, tenant: str, as_json: bool) -> None:
    """Ask every question of a file, the most frequent first, so that its answer is kept.

    A line is a question, or a record of `rag log export`; those without their text are passed over.
    """
    run(_warm(ctx, questions_in(questions, tenant)[:limit], as_json=as_json))


def questions_in(lines: Iterable[str], tenant: str) -> list[str]:
    """The questions to the documents, each once, the most frequent first. Records of other tenants are left out."""
    asked: Counter[str] = Counter()
    for line in filter(None, map(str.strip, lines)):
        record = _logged(line)
        if record.question and record.kind == "ask" and record.tenant in (None, tenant):
            asked[record.question] += 1
    return [question for question, _ in asked.most_common()]


def _logged(line: str) -> _Logged:
    if not line.startswith("{"):
        return _Logged(question=line)
    try:
        return msgspec.json.decode(line, type=_Logged)
    except msgspec.DecodeError as fault:
        raise click.BadParameter(f"a line is no record of the log: {fault}", param_hint="QUESTIONS") from fault


async def _warm(ctx: click.Context, questions: Sequence[str], *, as_json: bool) -> int:
    from rag.base.errors import GroundwireError
    from rag.cli.connection import asked, connected

    n = {"hit": 0, "miss": 0, "off": 0, "failed": 0}
    async with connected(options.settings_of(ctx)) as client:
        for question in questions:
            try:
                answer = await asked(client, "POST", "/ask", json={"question": question, "cache": "use"})
                n[answer["cache"]["status"]] += 1
            except GroundwireError as error:
                n["failed"] += 1
                click.echo(f"not answered: {one_line(str(error))}", err=True)
    if as_json:
        click.echo(msgspec.json.encode(n).decode())
    else:
        kept = "no answers are kept here" if n["off"] else f"{n['hit']} were kept already, {n['miss']} were made"
        click.echo(f"{len(questions)} questions: {kept}, {n['failed']} failed")
    return 1 if n["failed"] else 0
