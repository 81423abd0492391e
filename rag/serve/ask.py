"""POST /ask: a question in, a cited answer out, whole or as it is written."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec
from litestar import asgi
from litestar.datastructures.headers import Accept
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from rag.base.answers import Answer, Answered, AnswerEvent, Cited, SourcesFound
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, InvalidInput
from rag.base.types import Principal, Query, TextDelta, Turn, Usage
from rag.compose import Services
from rag.govern.limits import Limits
from rag.index.filters import parse_filters
from rag.serve.bodies import decode, media_type_of, read_body, refuse_unless_json, refuse_unless_post
from rag.serve.guards import READS
from rag.serve.headers import cache_headers, header
from rag.serve.identity import request_id_of
from rag.serve.problems import report
from rag.serve.replies import Reply, send_json
from rag.serve.streams import GRACE_S, EventStream, event, while_connected
from rag.serve.wire import AskBody, CacheBody, CitationBody, UsageBody, answer_body, convert, source_bodies

PATH: Final = "/ask"
_STREAM, _JSON = "text/event-stream", "application/json"


def ask_route(services: Services) -> ASGIRouteHandler:
    """The route, as plain ASGI inside of the application like those of the gateway.

    Most of what a kept answer would cost otherwise is the framework's dependencies, signatures and response objects
    (0.1 of 0.2 ms, 2026-11-23).
    """
    limits = services.limits
    within_s = limits.request_timeout_s + GRACE_S

    async def ask(scope: Scope, receive: Receive, send: Send) -> None:
        refuse_unless_post(scope)
        refuse_unless_json(media_type_of(scope))
        data: AskBody = decode(await read_body(receive, limits.max_body_bytes, limits.body_timeout_s), AskBody)
        query = _query(data, scope["user"], request_id_of(scope), services)
        streams = data.stream if data.stream is not None else _prefers_a_stream(scope)
        kept = None if streams else services.answerer.recall(query)
        if kept:
            await send_json(_reply(kept, query.request_id), send)
            return
        events = services.answerer.answer(query, Deadline.after(limits.request_timeout_s), stream=streams)
        if streams:
            stream = _stream(events, query.request_id, services.limits, within_s, explain=data.explain)
            await stream(scope, receive, send)
        else:
            answer = await while_connected(receive, _whole(events), within_s=within_s)
            await send_json(_reply(answer, query.request_id, explain=data.explain), send)

    return asgi(PATH, name="POST /ask", opt=READS, copy_scope=False)(ask)


def _prefers_a_stream(scope: Scope) -> bool:
    accepted = header(scope, b"accept") or ""
    return _STREAM in accepted and Accept(accepted).best_match([_JSON, _STREAM]) == _STREAM


def _reply(answer: Answer, request_id: str, *, explain: bool = False) -> Reply:
    headers = tuple((name.encode(), value.encode()) for name, value in cache_headers(answer.cache).items())
    return Reply(body=msgspec.json.encode(answer_body(answer, request_id, explain=explain)), headers=headers)


def _stream(
    events: AsyncGenerator[AnswerEvent, None], request_id: str, limits: Limits, within_s: float, *, explain: bool
) -> EventStream:
    headers: dict[str, str] = {}
    return EventStream(
        _encoded(events, request_id, headers, explain=explain),
        lambda error: event("error", report(error, request_id)),
        heartbeat_s=limits.heartbeat_s,
        within_s=within_s,
        headers=lambda: headers,
    )


def _query(data: AskBody, principal: Principal, request_id: str, services: Services) -> Query:
    if data.model is not None and data.model not in services.models:
        raise InvalidInput(
            f"there is no model '{data.model}' here; GET /v1/models lists what there is", pointer="/model"
        )
    wish = data.cache if isinstance(data.cache, CacheBody) else CacheBody(mode=data.cache)
    return Query(
        text=data.question,
        principal=principal,
        request_id=request_id,
        top_k=data.top_k,
        filters=parse_filters(data.filters, services.fields, "/filters"),
        history=tuple(Turn(role=turn.role, content=turn.content) for turn in data.history),
        model=data.model,
        prompt=data.prompt,
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
