"""POST /search: the passages without an answer."""

from typing import Final

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from rag.base.deadline import Deadline
from rag.base.types import Query
from rag.compose import Services
from rag.index.filters import parse_filters
from rag.serve.bodies import decode, media_type_of, read_body, refuse_unless_json, refuse_unless_post
from rag.serve.guards import READS
from rag.serve.identity import request_id_of
from rag.serve.replies import Reply, send_json
from rag.serve.streams import GRACE_S, while_connected
from rag.serve.wire import SearchBody, SearchResultBody, candidate_bodies

PATH: Final = "/search"


def search_route(services: Services) -> ASGIRouteHandler:
    """The route, as plain ASGI inside of the application for the reason that `rag.serve.ask` gives."""
    limits = services.limits
    within_s = limits.request_timeout_s + GRACE_S

    async def search(scope: Scope, receive: Receive, send: Send) -> None:
        refuse_unless_post(scope)
        refuse_unless_json(media_type_of(scope))
        data: SearchBody = decode(await read_body(receive, limits.max_body_bytes, limits.body_timeout_s), SearchBody)
        query = Query(
            text=data.query,
            principal=scope["user"],
            request_id=request_id_of(scope),
            top_k=data.top_k,
            filters=parse_filters(data.filters, services.fields, "/filters"),
        )
        searching = services.searcher.search(query, Deadline.after(limits.request_timeout_s), rerank=data.rerank)
        found = await while_connected(receive, searching, within_s=within_s)
        body = SearchResultBody(
            id=query.request_id,
            results=candidate_bodies(found.candidates),
            degraded=found.degraded,
            stages_s=found.stages_s,
        )
        await send_json(Reply(body=msgspec.json.encode(body)), send)

    return asgi(PATH, name="POST /search", opt=READS, copy_scope=False)(search)
