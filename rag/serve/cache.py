"""GET and DELETE /cache, POST /cache/explain: what the answer cache holds, does and would do."""

from collections.abc import Mapping
from typing import Annotated, Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct, field

from cache.risk import Match
from rag.base.answers import CacheTier
from rag.base.deadline import Deadline
from rag.base.errors import NotFound
from rag.base.types import Principal, Query
from rag.compose import Services
from rag.index.filters import parse_filters
from rag.pipeline.cache_desk import CacheDesk
from rag.serve.guards import READS, WATCHES, WRITES
from rag.serve.identity import request_id_of
from rag.serve.reference import refusals
from rag.serve.wire import Body, Question, RawFilters, TopK, convert


class EstimateBody(Struct, frozen=True, kw_only=True):
    """Of `n` compared hits `n_wrong` were wrong; with 95 % confidence no more than the share `upper` are."""

    n: int
    n_wrong: int
    upper: float


class ReplyReportBody(Struct, frozen=True, kw_only=True):
    """Replies of models to requests of the gateway: what is kept now, and what happened since the server started."""

    entries: int
    bytes: int
    max_bytes: int
    lookups: int
    hits: int
    bypassed: int
    saved_s: float
    saved_usd: float


class CacheReportBody(Struct, frozen=True, kw_only=True):
    """What is kept now, and what happened since the server started."""

    entries: int
    bytes: int
    max_bytes: int
    lookups: int
    hits: Mapping[CacheTier, int]
    hit_rate: float | None
    rejected_by: Mapping[str, int]
    saved_s: float
    saved_usd: float
    estimates: Mapping[Match, EstimateBody]
    loose_floor: Annotated[
        float | None, Meta(description="From this similarity on questions with other words are served.")
    ]
    replies: ReplyReportBody


class ClearedBody(Struct, frozen=True, kw_only=True):
    """How many answers were forgotten."""

    n_forgotten: int


class ExplainBody(Body, frozen=True):
    """A question as `POST /ask` takes it, as far as it matters to the cache."""

    question: Question
    filters: RawFilters = field(default_factory=dict)
    top_k: TopK = 5
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class NearBody(Struct, frozen=True, kw_only=True):
    """A kept question; `rejected_by` says why its answer would not be served, null that it would."""

    question: str
    similarity: float | None
    age_s: float
    rejected_by: str | None


class ExplanationBody(Struct, frozen=True, kw_only=True):
    """`exact` is the question itself, if it is kept; `nearest` are others, the most alike first."""

    exact: NearBody | None
    nearest: tuple[NearBody, ...]


@get("/cache", tags=["cache"], summary="Report on the answer cache", opt=WATCHES, responses=refusals(404))
async def report_cache(services: NamedDependency[Services]) -> CacheReportBody:
    """Tells hits, rejections, savings and how many hits were wrong, of those that were checked."""
    return convert(_desk(services).report(), CacheReportBody)


@delete(
    "/cache",
    status_code=200,
    tags=["cache"],
    summary="Forget all kept answers",
    opt=WRITES,
    responses=refusals(404),
)
async def clear_cache(services: NamedDependency[Services], principal: NamedDependency[Principal]) -> ClearedBody:
    """Forgets the answers of the key's tenant, in memory and in the file."""
    return ClearedBody(n_forgotten=_desk(services).clear(principal.tenant))


@post(
    "/cache/explain",
    status_code=200,
    tags=["cache"],
    summary="Explain what the answer cache would do",
    opt=READS,
    responses=refusals(404, 429, 502, 503, 504, body=True),
)
async def explain_cache(
    data: JSONBody[ExplainBody],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
) -> ExplanationBody:
    """Searches for the question and holds what is kept for this caller against it. Answers and keeps nothing."""
    query = Query(
        text=data.question,
        principal=principal,
        request_id=request_id_of(request.scope),
        top_k=data.top_k,
        filters=parse_filters(data.filters, services.fields, "/filters"),
        model=data.model,
    )
    deadline = Deadline.after(services.limits.request_timeout_s)
    return convert(await _desk(services).explain(query, deadline), ExplanationBody)


def _desk(services: Services) -> CacheDesk:
    if services.cache is None:
        raise NotFound('this server keeps no answers: its settings say `cache.kind = "none"`')
    return services.cache
