"""`rag documents`."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click
import msgspec

from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import json_text, one_line
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.records.connection import Connection

T = TypeVar("T")


@click.group("documents")
def command() -> None:
    """List, show and delete documents."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--cursor", help="Where to go on, as the last listing said.")
@click.option("--uri", help="Only the document at this URI.")
@click.option("--format", "format_", help="Only documents of this format.")
@options.as_json
@click.pass_context
def list_documents(
    ctx: click.Context, limit: int, cursor: str | None, uri: str | None, format_: str | None, as_json: bool
) -> None:
    """List documents by id, a page at a time."""
    given = {"limit": limit, "cursor": cursor, "uri": uri, "format": format_}
    params = {name: value for name, value in given.items() if value is not None}
    run(_list(ctx, params, as_json=as_json))


@command.command("show")
@click.argument("document_id")
@click.option("--text", is_flag=True, help="Print the parsed text too.")
@click.pass_context
def show(ctx: click.Context, document_id: str, text: bool) -> None:
    """Print one document as JSON."""
    run(_one(ctx, "GET", document_id, {"text": "true"} if text else {}))


@command.command("delete")
@click.argument("document_ids", nargs=-1)
@options.filters
@click.option("--source", help="Delete what was read from this file or folder, whether or not it is still there.")
@click.option("--everything", is_flag=True, help="Delete every document of the tenant.")
@click.option("--tenant", default="default", show_default=True, help="With --source: whose documents they are.")
@click.pass_context
def delete(
    ctx: click.Context,
    document_ids: tuple[str, ...],
    filters: tuple[str, ...],
    source: str | None,
    everything: bool,
    tenant: str,
) -> None:
    """Delete documents: by id, by --filter, by --source, or everything. Tells how many are left."""
    if sum(map(bool, (document_ids, filters, source, everything))) != 1:
        raise click.UsageError("say what to delete in one way: by ids, --filter, --source or --everything")
    if document_ids:
        run(_delete(ctx, document_ids))
    if source:
        run(_delete_source(ctx, source, tenant))
    wanted = {"everything": True} if everything else {"filters": options.parsed_filters(filters)}
    run(_delete_matching(ctx, wanted))


@command.command("failed")
@click.option("--tenant", default="default", show_default=True, help="Whose documents they are.")
@options.as_json
@click.pass_context
def failed(ctx: click.Context, tenant: str, as_json: bool) -> None:
    """List documents that could not be indexed, by `rag ingest` or by workers, with the reasons."""
    run(_failed(ctx, tenant, as_json=as_json))


@command.command("retry")
@click.argument("uris", nargs=-1)
@click.option("--tenant", default="default", show_default=True, help="Whose documents they are.")
@options.as_json
@click.pass_context
def retry(ctx: click.Context, uris: tuple[str, ...], tenant: str, as_json: bool) -> None:
    """Try failed documents again, all of them or those with the given URIs, as they were asked for."""
    run(_retry(ctx, set(uris), tenant, as_json=as_json))


def _path(document_id: str) -> str:
    """The path of one document: what is no id can lead nowhere else."""
    if document_id in ("", ".", ".."):
        raise click.BadParameter(f"'{document_id}' is not the id of a document", param_hint="DOCUMENT_ID")
    return f"/documents/{quote(document_id, safe='')}"


async def _list(ctx: click.Context, params: dict[str, Any], *, as_json: bool) -> int:
    from rag.cli.connection import asked, connected

    async with connected(options.settings_of(ctx)) as client:
        page = await asked(client, "GET", "/documents", params=params)
    if as_json:
        click.echo(json_text(page))
        return 0
    for document in page["documents"]:
        place = one_line(f"{document['title']}  {document['uri']}")
        click.echo(f"{document['id']}  {document['n_chunks']:5} chunks  {place}")
    click.echo(f"{len(page['documents'])} of {page['total']}", err=True)
    if page.get("cursor"):
        click.echo(f"more: --cursor {page['cursor']}", err=True)
    return 0


async def _one(ctx: click.Context, method: str, document_id: str, params: dict[str, str]) -> int:
    from rag.cli.connection import asked, connected

    async with connected(options.settings_of(ctx)) as client:
        document = await asked(client, method, _path(document_id), params=params)
    click.echo(json_text(document, indent=2))
    return 0


async def _delete(ctx: click.Context, document_ids: tuple[str, ...]) -> int:
    from rag.cli.connection import Refused, asked, connected

    n_failed = 0
    async with connected(options.settings_of(ctx)) as client:
        for document_id in document_ids:
            try:
                await asked(client, "DELETE", _path(document_id))
                click.echo(f"deleted {document_id}")
            except Refused as problem:
                n_failed += 1
                click.echo(f"{document_id}: {problem}", err=True)
    return 1 if n_failed else 0


async def _delete_matching(ctx: click.Context, wanted: dict[str, Any]) -> int:
    from rag.cli.connection import asked, connected

    async with connected(options.settings_of(ctx)) as client:
        done = await asked(client, "POST", "/documents/delete", json=wanted)
    return _told(done["deleted"], done["left"])


async def _delete_source(ctx: click.Context, source: str, tenant: str) -> int:
    from ingest.memory import FILE_NAME, SourceMemory
    from ingest.sources import scope_of
    from ingest.sync import Synchroniser
    from rag.cli.connection import indexing

    settings = options.settings_of(ctx)
    async with indexing(settings, tenant) as index:
        with SourceMemory(settings.data_dir / FILE_NAME) as memory:
            synchroniser = Synchroniser(index, memory, tenant, recipe="")
            documents = synchroniser.documents_below(scope_of(source))
            n_deleted = await synchroniser.delete(documents)
            return _told(n_deleted, await synchroniser.count(documents))


async def _failed(ctx: click.Context, tenant: str, *, as_json: bool) -> int:
    from ingest.memory import FILE_NAME, DeadLetter, Options, SourceMemory
    from rag.records import submissions

    settings = options.settings_of(ctx)
    with SourceMemory(settings.data_dir / FILE_NAME) as memory:
        letters = memory.dead_letters(tenant)
    nothing: list[submissions.Submission] = []
    for submission in await _of_workers(settings, partial(submissions.failed, tenant=tenant), nothing):
        letter = DeadLetter(
            uri=submission.uri,
            source="",
            reason=submission.reason,
            transient=submission.transient,
            attempts=submission.attempts,
            failed_at=datetime.fromtimestamp(submission.changed_s, UTC),
            options=Options(acl=submission.acl, metadata={}),
        )
        letters.append(letter)
    if as_json:
        click.echo(json_text(msgspec.to_builtins(letters)))
        return 0
    for letter in letters:
        may = "may work later" if letter.transient else "will fail again"
        click.echo(one_line(f"{letter.uri}  {letter.reason} ({letter.attempts} tried, {may})"))
    return 0


async def _retry(ctx: click.Context, uris: set[str], tenant: str, *, as_json: bool) -> int:
    from ingest.memory import FILE_NAME, SourceMemory
    from ingest.sources import argument_of
    from rag.cli.ingest import Wanted, ingest

    settings = options.settings_of(ctx)
    n_revived = await _of_workers(settings, partial(_revive, tenant=tenant, uris=uris), 0)
    if n_revived:
        click.echo(f"{n_revived} waiting for workers again", err=True)
    with SourceMemory(settings.data_dir / FILE_NAME) as memory:
        letters = [letter for letter in memory.dead_letters(tenant) if not uris or letter.uri in uris]
    asked: dict[bytes, Wanted] = {}
    for letter in letters:
        source = argument_of(letter.source)
        if source is None:
            click.echo(one_line(f"{letter.uri}: it came from {letter.source}, which cannot be read again"), err=True)
            continue
        wanted = Wanted(sources=(), tenant=tenant, as_json=as_json, **msgspec.structs.asdict(letter.options))
        known = asked.setdefault(msgspec.json.encode(letter.options), wanted)
        if source not in known.sources:
            asked[msgspec.json.encode(letter.options)] = msgspec.structs.replace(
                known, sources=(*known.sources, source)
            )
    if not asked:
        if not n_revived:
            click.echo("there is nothing to try again", err=True)
        return 1 if letters or (uris and not n_revived) else 0
    return max([await ingest(settings, wanted) for wanted in asked.values()])


def _revive(connection: "Connection", tenant: str, uris: set[str]) -> int:
    """Has failed submissions tried again, and says how many; the next round of a worker offers them."""
    from rag.records import submissions

    chosen = [each.id for each in submissions.failed(connection, tenant) if not uris or each.uri in uris]
    if chosen:
        submissions.revive(connection, chosen, time.time())
    return len(chosen)


async def _of_workers(settings: Settings, work: "Callable[[Connection], T]", nothing: T) -> T:
    """What the records say of documents that were handed to workers; `nothing` where there are none."""
    from ingest.queue.config import NoQueueConfig
    from rag.records.database import open_database

    if isinstance(settings.queue, NoQueueConfig):
        return nothing
    async with open_database(settings.records, settings.data_dir) as database:
        return await database.run(work)


def _told(n_deleted: int, n_left: int) -> int:
    click.echo(f"{n_deleted} deleted, {n_left} left")
    return 1 if n_left else 0
