"""The published description of the interface: OpenAPI 3.1, and a page that shows it without any script or CDN."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import msgspec
from litestar import Request, Response, Router
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    License,
    Reference,
    SecurityScheme,
    Tag,
)

from rag.serve.gateway import reference as gateway
from rag.serve.guards import PUBLIC
from rag.serve.problems import MEDIA_TYPE, Problem
from rag.serve.shelf import DocumentBody, ListingBody, OutcomeBody, RecordBody, ReplacementBody
from rag.serve.wire import AnswerBody, AskBody, SearchBody, SearchResultBody

_REFUSALS = {
    400: "The body is not JSON",
    401: "No valid key",
    403: "The key does not allow this",
    404: "It does not exist, or the key may not know that it does",
    408: "The body did not arrive in time",
    409: "It contradicts the present state",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "The input is not valid; `errors` points to the fault",
    429: "The allowance is used up; see Retry-After",
    502: "A model or store failed",
    503: "Too busy, or not ready; see Retry-After",
    504: "It took too long",
}
_SHAPES = (
    AskBody,
    AnswerBody,
    SearchBody,
    SearchResultBody,
    DocumentBody,
    ReplacementBody,
    OutcomeBody,
    RecordBody,
    ListingBody,
    Problem,
)
_ASK = """Answers from the documents that the key may read, with citations.

With `stream: true`, or an Accept header that prefers `text/event-stream`, the events are `sources`, `token`,
`citation`, `usage` and last `done`, which holds the whole answer, or `error`, which holds a problem."""
_SEARCH = "Gives the best passages of the documents that the key may read, with the scores of every leg of the search."
_WITH_KEY = (400, 401, 403)
_WITH_BODY = (408, 413, 415, 422)


def refusals(*statuses: int, public: bool = False, body: bool = False) -> dict[int, ResponseSpec]:
    """The documented problem responses: the given ones, those of a key unless public, those of a body if it has one."""
    every = sorted({*statuses, *(() if public else _WITH_KEY), *(_WITH_BODY if body else ())})
    return {
        status: ResponseSpec(Problem, description=_REFUSALS[status], media_type=MEDIA_TYPE, generate_examples=False)
        for status in every
    }


def _questions() -> dict[str, Any]:
    """`POST /ask` and `POST /search`, which are plain ASGI: the framework does not see their types."""
    stream = {"schema": {"description": "Events: sources, token, citation, usage, then done or error."}}
    answer = {"application/json": {"schema": _reference_to(AnswerBody)}, "text/event-stream": stream}
    found = {"application/json": {"schema": _reference_to(SearchResultBody)}}
    return {
        "/ask": {"post": _question("Ask a question", _ASK, AskBody, {"description": "The answer", "content": answer})},
        "/search": {
            "post": _question("Find passages", _SEARCH, SearchBody, {"description": "What was found", "content": found})
        },
    }


def _question(summary: str, description: str, body: type[msgspec.Struct], given: dict[str, Any]) -> dict[str, Any]:
    statuses = sorted({*_WITH_KEY, *_WITH_BODY, 429, 502, 503, 504})
    problem = {MEDIA_TYPE: {"schema": _reference_to(Problem)}}
    return {
        "tags": ["questions"],
        "summary": summary,
        "description": description,
        "operationId": "AskAsk" if body is AskBody else "SearchSearch",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _reference_to(body)}}},
        "responses": {
            "200": given,
            **{str(status): {"description": _REFUSALS[status], "content": problem} for status in statuses},
        },
    }


def _reference_to(shape: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{shape.__name__}"}


def openapi(version: str, *, is_open: bool) -> OpenAPIConfig:
    """The description's frame; an open server asks for no key."""
    schemes: dict[str, SecurityScheme | Reference] = {
        "bearer": SecurityScheme(type="http", scheme="bearer", description="Authorization: Bearer <key>"),
        "apiKey": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
    }
    return OpenAPIConfig(
        title="Groundwire",
        version=version,
        summary="Answers from your own documents, with citations.",
        description="Errors are RFC 9457 problems. Every response carries X-Request-Id.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        components=Components(security_schemes=None if is_open else schemes),
        security=None if is_open else [{"bearer": []}, {"apiKey": []}],
        tags=[
            Tag(name="questions", description="Ask and search."),
            Tag(name="documents", description="What the answers come from."),
            Tag(name="traces", description="Where the time of recent requests went."),
            Tag(name="cache", description="Answers that were kept."),
            Tag(name=gateway.TAG, description="A gateway to models, for OpenAI's and Anthropic's clients."),
            Tag(name="health", description="For probes."),
            Tag(name="operations", description="What is asked of models, and how."),
        ],
        use_handler_docstrings=True,
        openapi_router=Router(
            "/schema", route_handlers=[], include_in_schema=False, opt=PUBLIC, after_request=_refuse_missing
        ),
        render_plugins=[_Page(path="/"), _Json(media_type=MediaType.JSON)],
    )


async def _refuse_missing(response: Any) -> Any:
    """Litestar answers an unknown path under /schema with a page of its own; here it is a problem like any other."""
    if isinstance(response, Response) and response.status_code == 404:
        raise NotFoundException
    return response


class _Json(JsonRenderPlugin):
    """The schema for programs."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, _exact(openapi_schema))


class _Page(OpenAPIRenderPlugin):
    """The schema as one page of plain HTML."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return "".join(_page(msgspec.to_builtins(_exact(openapi_schema)))).encode()


def _exact(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with msgspec's own account of the types, and with the routes that the framework does not see.

    Litestar's leaves out the bounds of optional members and of items, and that unknown members are refused; and it
    writes `oneOf` for a union of int and float, which no integer satisfies.
    """
    _, components = msgspec.json.schema_components(
        (*_SHAPES, *gateway.SHAPES), ref_template="#/components/schemas/{name}"
    )
    schema["components"]["schemas"].update(components)
    schema["paths"] = {**_questions(), **schema["paths"], **gateway.paths()}
    return schema


def _page(schema: Mapping[str, Any]) -> Iterator[str]:
    info = schema["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    yield "<meta name=viewport content='width=device-width,initial-scale=1'>"
    yield f"<h1>{title}</h1><p>{escape(info['summary'])} {escape(info['description'])}</p>"
    yield "<p>For programs: <a href='/schema/openapi.json'>/schema/openapi.json</a></p>"
    for tag in schema["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
        for path, item in schema["paths"].items():
            for method, operation in item.items():
                if isinstance(operation, Mapping) and tag["name"] in operation.get("tags", ()):
                    yield from _operation(method, path, operation)
    yield "<h2>types</h2>"
    for name, component in schema["components"]["schemas"].items():
        yield f"<details id='{escape(name)}'><summary><b>{escape(name)}</b></summary>{_json(component)}</details>"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> {escape(operation['summary'])}"
    yield f"</summary><p>{escape(operation.get('description', ''))}</p>"
    for parameter in operation.get("parameters", ()):
        yield f"<p><code>{escape(parameter['name'])}</code> in {parameter['in']}{_json(parameter['schema'])}</p>"
    if "requestBody" in operation:
        yield f"<h4>Body</h4>{_contents(operation['requestBody']['content'])}"
    for status, response in operation["responses"].items():
        yield f"<h4>{escape(status)} {escape(response['description'])}</h4>{_contents(response.get('content', {}))}"
    yield "</details>"


def _contents(contents: Mapping[str, Any]) -> str:
    return "".join(f"<p>{escape(media)}: {_type(content['schema'])}</p>" for media, content in contents.items())


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    return _json(schema)


def _json(value: object) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>"


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "details{border:1px solid #ddd;border-radius:6px;margin:.5rem 0;padding:.5rem 1rem}summary{cursor:pointer}"
    "pre{background:#f6f6f6;padding:.5rem;overflow:auto;font-size:13px}h4{margin:.8rem 0 0}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}pre{background:#222}a{color:#8bf}}"
)
