"""Files in place of JSON: a body of another type is read into the document that it holds, by the parsers' processes.

Either the body is the file, and the query says what it is called, or it is a form with a part `file`. What a form or a
query may say beside is what the JSON body may say, as text.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile

from ingest.parse.formats import name_for
from ingest.parse.parsed import Parsed
from rag.base.errors import InvalidInput

FILES: Final = "files"
"""`opt` of a route that takes files: who parses them."""

_FORM: Final = "multipart/form-data"
_TAKEN: Final = frozenset({"uri", "title", "acl", "metadata", "updated_at"})
_LISTS: Final = frozenset({"acl"})


Parse = Callable[[bytes, str], Awaitable[Parsed]]
"""The bytes of a file and a name that says of what type it is, to its text."""


def is_file(request: Request[Any, Any, Any]) -> bool:
    """Whether the body is a file or a form with one: not JSON, and it says what it is."""
    media_type = request.content_type[0]
    return media_type == _FORM or ("uri" in request.query_params and not _is_json(media_type))


async def read_file(request: Request[Any, Any, Any]) -> bytes:
    """The document in the body, as the JSON that would say the same.

    Raises InvalidInput with a pointer to the member at fault, and IngestError for a file that cannot be read.
    """
    media_type = request.content_type[0]
    if media_type == _FORM:
        data, name, media_type, said = await _from_form(request)
    else:
        data, name = await request.body(), request.query_params.get("filename", "")
        said = {key: request.query_params.getall(key) for key in request.query_params}
        said.pop("filename", None)
        said.pop("wait", None)
    parse: Parse = request.route_handler.opt[FILES]
    document = _said(said)
    parsed = await parse(data, name_for(name or str(document.get("uri", "")), media_type))
    found = {
        "text": parsed.text,
        "title": document.get("title") or parsed.title,
        "format": parsed.format,
        "pages": parsed.pages,
    }
    metadata = {**parsed.metadata, **document.get("metadata", {})}
    return msgspec.json.encode({**document, **found, "metadata": metadata})


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


async def _from_form(request: Request[Any, Any, Any]) -> tuple[bytes, str, str, dict[str, list[Any]]]:
    await request.body()  # within its limits of size and time; the form is read from what it gave
    try:
        form = await request.form()
    except (LookupError, UnicodeError) as error:
        raise InvalidInput("a part of the form is not text in the charset that it names") from error
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise InvalidInput("the form has no file in a part of this name", pointer="/file")
    said = {key: form.getall(key) for key in form if key != "file"}
    return await file.read(), file.filename, file.content_type or "", said


def _said(said: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The members of the document by name, each as JSON would have it."""
    document: dict[str, Any] = {}
    for name, values in said.items():
        if name not in _TAKEN:
            raise InvalidInput(f"unknown; beside the file there may be {', '.join(sorted(_TAKEN))}", pointer=f"/{name}")
        document[name] = values if name in _LISTS else values[-1]
    if "metadata" in document:
        try:
            document["metadata"] = msgspec.json.decode(document["metadata"], type=dict[str, Any])
        except (msgspec.DecodeError, TypeError) as error:
            raise InvalidInput("it must be a JSON object", pointer="/metadata") from error
    return document
