"""POST /ask: a question in, a cited answer out, whole or as it is written."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from rag.base.answers import Answer, Answered, AnswerEvent, Cited, Recall, SourcesFound
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, InvalidInput
from rag.base.types import Principal, Query, TextDelta, Turn, Usage
from rag.compose import Services
from rag.index.filters import parse_filters
from rag.serve.guards import READS
from rag.serve.identity import request_id_of
from rag.serve.problems import report
from rag.serve.reference import StreamingOperation, refusals
from rag.serve.streams import GRACE_S, EventStream, event, while_connected
from rag.serve.wire import AnswerBody, AskBody, CacheBody, CitationBody, UsageBody, answer_body, convert, source_bodies

_STREAM, _JSON = "text/event-stream", "application/json"


@post(
    "/ask",
    status_code=200,
    tags=["questions"],
    summary="Ask a question",
    opt=READS,
    operation_class=StreamingOperation,
    responses=refusals(429, 502, 503, 504, body=True),
)
async def ask(
    data: JSONBody[AskBody],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
) -> Response[AnswerBody]:
    """Answers from the documents that the key may read, with citations.

    With `stream: true`, or an Accept header that prefers `text/event-stream`, the events are `sources`, `token`,
    `citation`, `usage` and last `done`, which holds the whole answer, or `error`, which holds a problem.
    """
    query = _query(data, principal, request_id_of(request.scope), services)
    limits = services.limits
    streams = data.stream if data.stream is not None else request.accept.best_match([_JSON, _STREAM]) == _STREAM
    kept = None if streams else services.answerer.recall(query)
    if kept:
        return _given(kept, query.request_id)
    events = services.answerer.answer(query, Deadline.after(limits.request_timeout_s), stream=streams)
    within_s = limits.request_timeout_s + GRACE_S
    if streams:
        headers: dict[str, str] = {}
        return EventStream(
            _encoded(events, query.request_id, headers, explain=data.explain),
            lambda error: event("error", report(error, query.request_id)),
            heartbeat_s=limits.heartbeat_s,
            within_s=within_s,
            headers=lambda: headers,
        )
    answer = await while_connected(request.receive, _whole(events), within_s=within_s)
    return _given(answer, query.request_id, explain=data.explain)


def _given(answer: Answer, request_id: str, *, explain: bool = False) -> Response[AnswerBody]:
    return Response(answer_body(answer, request_id, explain=explain), headers=cache_headers(answer.cache))


def cache_headers(recall: Recall) -> dict[str, str]:
    """`x-cache`, with `x-cache-tier` and `x-cache-age` (seconds) on a hit."""
    headers: dict[str, str] = {"x-cache": recall.status}
    if recall.tier:
        headers |= {"x-cache-tier": recall.tier, "x-cache-age": str(int(recall.age_s or 0))}
    return headers


def _query(data: AskBody, principal: Principal, request_id: str, services: Services) -> Query:
    if data.model is not None and data.model not in services.models:
        known = ", ".join(sorted(services.models))
        raise InvalidInput(f"there is no model '{data.model}' here; there are: {known}", pointer="/model")
    wish = data.cache if isinstance(data.cache, CacheBody) else CacheBody(mode=data.cache)
    return Query(
        text=data.question,
        principal=principal,
        request_id=request_id,
        top_k=data.top_k,
        filters=parse_filters(data.filters, services.fields, "/filters"),
        history=tuple(Turn(role=turn.role, content=turn.content) for turn in data.history),
        model=data.model,
        max_tokens=data.max_tokens,
        temperature=data.temperature,
        cache="off" if data.explain else wish.mode,  # an explanation needs the candidates, which are not kept
        cache_max_age_s=wish.max_age_s,
        cache_min_similarity=wish.min_similarity,
    )


async def _whole(events: AsyncGenerator[AnswerEvent, None]) -> Answer:
    async with aclosing(events):
        async for one in events:
            if isinstance(one, Answered):
                return one.answer
    raise BadDependency("the answer was cut off before its end")


async def _encoded(
    events: AsyncGenerator[AnswerEvent, None], request_id: str, headers: dict[str, str], *, explain: bool
) -> AsyncGenerator[bytes, None]:
    """The events as server-sent events, in their order. The first one tells what goes into `headers`."""
    async with aclosing(events):
        async for one in events:
            match one:
                case SourcesFound():
                    headers |= cache_headers(one.cache)
                    yield event("sources", {"id": request_id, "sources": source_bodies(one.sources)})
                case TextDelta():
                    yield event("token", {"text": one.text})
                case Cited():
                    yield event("citation", convert(one.citation, CitationBody))
                case Usage():
                    yield event("usage", convert(one, UsageBody))
                case Answered():
                    yield event("done", answer_body(one.answer, request_id, explain=explain))
