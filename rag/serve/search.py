"""POST /search: the passages without an answer."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from rag.base.deadline import Deadline
from rag.base.types import Principal, Query
from rag.compose import Services
from rag.index.filters import parse_filters
from rag.serve.guards import READS
from rag.serve.identity import request_id_of
from rag.serve.reference import refusals
from rag.serve.streams import GRACE_S, while_connected
from rag.serve.wire import SearchBody, SearchResultBody, candidate_bodies


@post(
    "/search",
    status_code=200,
    tags=["questions"],
    summary="Find passages",
    opt=READS,
    responses=refusals(429, 502, 503, 504, body=True),
)
async def search(
    data: JSONBody[SearchBody],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
) -> SearchResultBody:
    """Gives the best passages of the documents that the key may read, with the scores of every leg of the search."""
    limits = services.limits
    query = Query(
        text=data.query,
        principal=principal,
        request_id=request_id_of(request.scope),
        top_k=data.top_k,
        filters=parse_filters(data.filters, services.fields, "/filters"),
    )
    searching = services.searcher.search(query, Deadline.after(limits.request_timeout_s), rerank=data.rerank)
    found = await while_connected(request.receive, searching, within_s=limits.request_timeout_s + GRACE_S)
    return SearchResultBody(
        id=query.request_id,
        results=candidate_bodies(found.candidates),
        degraded=found.degraded,
        stages_s=found.stages_s,
    )
