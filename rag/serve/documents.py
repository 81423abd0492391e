"""GET, PUT and DELETE /documents: what the answers come from.

A document that the key may not see is treated as one that is not there, by every route and down to the last byte.
"""

from collections.abc import Awaitable
from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Struct
from msgspec.structs import replace

from ingest.draft import Draft
from ingest.library import Library
from ingest.parse.parsed import Parsed
from ingest.parse.pool import ParserPool
from rag.base.deadline import Deadline
from rag.base.errors import InvalidInput, NotFound
from rag.base.ids import document_id as id_of
from rag.base.types import EVERYONE, Access, DocumentRecord, Match, Principal, Work
from rag.compose import Services
from rag.govern.access import managed_in, permits, readable_by, require
from rag.govern.limits import MAX_PAGE, Limits
from rag.index.filters import MAX_ALTERNATIVES as MAX_IDS
from rag.index.filters import parse_filters
from rag.records.submissions import Lane, Submission
from rag.serve.guards import READS, WRITES
from rag.serve.handing import Until, hand_in, told_of
from rag.serve.reference import refusals
from rag.serve.shelf import (
    DeletedBody,
    DeletionBody,
    DocumentBody,
    ListingBody,
    OutcomeBody,
    RecordBody,
    ReplacementBody,
    Told,
    Wait,
    discreet,
    draft_of,
    outcome_body,
    record_body,
)
from rag.serve.streams import GRACE_S, while_connected
from rag.serve.uploads import FILES


@get("/", summary="List documents", opt=READS, responses=refusals(422, 502, 503, 504))
async def list_documents(  # noqa: PLR0913, PLR0917 - the parameters of the query string, passed by name
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 50,
    cursor: FromQuery[str | None] = None,
    uri: FromQuery[str | None] = None,
    format_: Annotated[str | None, QueryParameter(name="format")] = None,
    ids: Annotated[list[str] | None, QueryParameter(name="id", max_items=MAX_IDS)] = None,
) -> ListingBody:
    """Gives the documents that the key may read, by id, a page at a time; `cursor` asks for what follows."""
    wanted = {"uri": (uri,), "format": (format_,), "document_id": tuple(ids or (None,))}
    filters = tuple(
        Match(field=name, any_of=tuple(value for value in values if value is not None))
        for name, values in wanted.items()
        if values != (None,)
    )
    try:
        page = await services.library.list(readable_by(principal), filters, limit, cursor)
    except InvalidInput as error:
        raise ValidationException(extra=[{"message": str(error), "key": "cursor"}]) from error
    records = tuple(record_body(record) for record in page.records)
    return ListingBody(documents=records, total=page.total, cursor=page.cursor)


@get("/{document_id:str}", summary="Get a document", opt=READS, responses=refusals(404, 422, 502, 503, 504))
async def get_document(
    document_id: FromPath[str],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    text: FromQuery[bool] = False,
) -> RecordBody:
    """Gives what is known of one document, and with `text=true` the text that its chunks were cut from.

    `state` tells how far its latest version came, and `pending` why it is not searchable yet.
    """
    found = await _visible(services, principal, document_id)
    whole = await services.library.text(readable_by(principal), document_id) if text else None
    if services.desk and found.submission:
        body = await told_of(services.desk, found.record, found.submission)
    else:
        body = replace(record_body(found.stored), state="searchable")
    return body if whole is None else replace(body, text=whole)


@put("/", summary="Add or replace a document", opt=WRITES, responses=refusals(409, 429, 502, 503, 504, body=True))
async def put_document(
    data: JSONBody[DocumentBody],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    wait: FromQuery[Wait | None] = None,
    lane: FromQuery[Lane] = "upload",
) -> Response[OutcomeBody]:
    """Indexes a document under its `uri`; when the reply is there, it is found and survives a crash.

    The same content again is `unchanged` and costs nothing. Without `acl` an existing document keeps its readers. The
    body may be a file instead: as it is, with its `uri` in the query, or as the part `file` of a form. Where workers
    index, the reply is 202 as soon as the document is safe with them, unless `wait` says for what to wait.
    """
    acl = await _readers_of(services, principal, data.uri)
    return await _indexed(_Put(data, data.uri, acl, wait, lane), request, services)


@put(
    "/{document_id:str}",
    summary="Replace a document",
    opt=WRITES,
    responses=refusals(404, 409, 429, 502, 503, 504, body=True),
)
async def replace_document(
    document_id: FromPath[str],
    data: JSONBody[ReplacementBody],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    wait: FromQuery[Wait | None] = None,
) -> Response[OutcomeBody]:
    """Indexes new content for a document that is there; it keeps its `uri`, and without `acl` its readers."""
    known = await _visible(services, principal, document_id)
    acl = await _readers_of(services, principal, known.uri)
    return await _indexed(_Put(data, known.uri, acl, wait, "upload"), request, services)


@delete("/{document_id:str}", summary="Delete a document", opt=WRITES, responses=refusals(404, 409, 422, 502, 503, 504))
async def delete_document(
    document_id: FromPath[str], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> None:
    """Removes a document; no answer will come from it any more. Others that hold the same stay."""
    known = await _visible(services, principal, document_id)
    if services.desk:
        await services.desk.readers_of(readable_by(principal), known.uri)
        within = Deadline.after(services.limits.request_timeout_s)
        await services.desk.withdraw(principal.tenant, document_id, within)
    await services.library.delete(readable_by(principal), document_id)


@post(
    "/delete",
    status_code=200,
    summary="Delete many documents",
    opt=WRITES,
    responses=refusals(502, 503, 504, body=True),
)
async def delete_documents(
    data: JSONBody[DeletionBody], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> DeletedBody:
    """Removes every document that matches and that the key may read, and counts afterwards what is left of them.

    `everything` removes all documents of the tenant, whoever may read them; where there are keys it needs the scope
    `admin`.
    """
    if data.everything == bool(data.filters):
        raise InvalidInput("give either filters or `everything: true`", pointer="/filters")
    if data.everything and not services.keys.is_open:
        require(principal, "admin")
    access = managed_in(principal.tenant) if data.everything else readable_by(principal)
    if data.everything and services.desk:
        await services.desk.withdraw_all(principal.tenant)
    filters = parse_filters(data.filters, services.fields, "/filters")
    done = await services.library.delete_matching(access, filters)
    return DeletedBody(deleted=done.n_deleted, left=done.n_left)


def documents_router(limits: Limits, parsers: ParserPool) -> Router:
    """The routes under /documents, whose bodies may be larger than others, and files, which `parsers` read."""

    def read(data: bytes, name: str) -> Awaitable[Parsed]:
        """A plain function, as Litestar makes deep copies of what is in `opt`."""
        return parsers.parse_bytes(data, name)

    return Router(
        "/documents",
        route_handlers=[
            list_documents,
            get_document,
            put_document,
            replace_document,
            delete_document,
            delete_documents,
        ],
        request_max_body_size=limits.max_document_bytes,
        opt={FILES: read},
        tags=["documents"],
    )


def _absent() -> NotFound:
    return NotFound("there is no such document, or your key may not see it")


class _Known(Struct, frozen=True):
    """A document as it is stored, and as it was last handed in: what the key may see of the two."""

    record: DocumentRecord | None
    submission: Submission | None

    @property
    def stored(self) -> DocumentRecord:
        """The record of a document that was never handed in."""
        assert self.record is not None
        return self.record

    @property
    def uri(self) -> str:
        """What it is called."""
        return self.submission.uri if self.submission else self.stored.uri


async def _visible(services: Services, principal: Principal, document_id: str) -> _Known:
    access = readable_by(principal)
    record = await services.library.get(access, document_id)
    submission = await services.desk.of(access, document_id) if services.desk else None
    if not (record or submission):
        raise _absent()
    return _Known(record, submission)


async def _readers_of(services: Services, principal: Principal, uri: str) -> tuple[str, ...]:
    """Who may read the document at `uri` so far; everyone, where there is none or none that the key may see.

    Raises Forbidden where what was handed in last for it is hidden from the key, even if it sees what is stored yet.
    """
    access = readable_by(principal)
    if services.desk:
        return await services.desk.readers_of(access, uri) or (EVERYONE,)
    record = await services.library.get(access, id_of(principal.tenant, uri))
    return record.acl if record else (EVERYONE,)


class _Put(Struct, frozen=True):
    """What is to be put, who could read it so far, how far to wait, and how urgent it is."""

    body: ReplacementBody
    uri: str
    acl: tuple[str, ...]
    wait: Wait | None
    lane: Lane

    @property
    def draft(self) -> Draft:
        """The draft that it describes."""
        return draft_of(self.body, self.uri, self.acl if self.body.acl is None else self.body.acl)


async def _indexed(put: _Put, request: Request[Any, Any, Any], services: Services) -> Response[OutcomeBody]:
    """Puts it and waits, as long as the client does. A client that leaves may find it stored or not, never in part."""
    within_s = services.limits.ingest_timeout_s
    access, deadline = readable_by(request.user), Deadline.after(within_s)
    told = _told_to(request.user, access, put, is_open=services.keys.is_open)
    if services.desk:
        until = Until(put.wait, deadline, told) if put.wait else None
        putting = hand_in(services.desk, access, put.draft, put.lane, until)
    else:
        putting = _put(services.library, access, put, told, Work(tenant=access.tenant, deadline=deadline, lane="bulk"))
    return await while_connected(request.receive, putting, within_s=within_s + GRACE_S)


async def _put(library: Library, access: Access, put: _Put, told: Told, work: Work) -> Response[OutcomeBody]:
    outcome = told(await library.put(access, put.draft, work))
    if outcome.status == "skipped":
        return Response(outcome_body(outcome, "skipped"))
    if put.wait == "searchable":
        await library.require_searchable(access.tenant, outcome, work)
    return Response(outcome_body(outcome, put.wait or "indexed"))


def _told_to(principal: Principal, access: Access, put: _Put, *, is_open: bool) -> Told:
    """What those hear of an outcome who put it: of a document that they may not read, not what else holds the same."""
    may_know = is_open or "admin" in principal.scopes or permits(access, access.tenant, put.draft.acl)
    return (lambda outcome: outcome) if may_know else discreet
