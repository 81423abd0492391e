"""A document as a source gives it, and the step from there to one that can be indexed."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from rag.base.errors import PermanentIngestError
from rag.base.ids import digest, document_id
from rag.base.pages import Pages
from rag.base.text import normalised
from rag.base.titles import name_of
from rag.base.types import EVERYONE, Document, Metadata, Scalar

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Draft(Struct, frozen=True, kw_only=True):
    """What is known of a document before it belongs to a tenant. Without a title it is named after its uri.

    `source` is the uri of what it was read from, such as the JSONL file of which it is a line.
    """

    uri: str
    text: str
    title: str = ""
    format: str = "text"
    acl: tuple[str, ...] = (EVERYONE,)
    metadata: Metadata = {}
    updated_at: datetime | None = None
    source: str = ""
    pages: Pages = ()


def document_of(draft: Draft, tenant: str, recipe: str) -> Document:
    """The document of a draft in a tenant; `recipe` names all that turns its text into chunks and vectors.

    Halves of surrogate pairs and NUL become U+FFFD: no tokenizer takes the former, and no PostgreSQL the latter. The
    version covers the exact text and everything else that is stored, except `updated_at`: a file that was only touched
    is not indexed again.
    Raises PermanentIngestError for a time that UTC cannot tell.
    """
    uri, title, text = _clean(draft.uri), _clean(draft.title).strip(), _clean(draft.text)
    title = title or name_of(uri)
    acl = tuple(sorted({_clean(grant) for grant in draft.acl}))
    metadata = {_clean(name): _clean_value(value) for name, value in sorted(draft.metadata.items())}
    stored = msgspec.json.encode((title, draft.format, acl, metadata)).decode()
    return Document(
        id=document_id(tenant, uri),
        tenant=tenant,
        uri=uri,
        title=title,
        text=text,
        version=digest(text, stored, recipe, *(repr(page) for page in draft.pages)),
        content_hash=digest(normalised(text)),
        updated_at=_aware(draft.updated_at or datetime.now(UTC)),
        acl=acl,
        format=draft.format,
        metadata=metadata,
        source=draft.source,
        pages=draft.pages,
    )


def _clean(text: str) -> str:
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def _clean_value(value: Scalar | Sequence[str]) -> Scalar | Sequence[str]:
    if isinstance(value, str):
        return _clean(value)
    return value if isinstance(value, int | float) else tuple(_clean(each) for each in value)


def _aware(instant: datetime) -> datetime:
    try:
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise PermanentIngestError(f"its time {instant.isoformat()} lies outside of the years 1 to 9999 UTC") from error


def filterable(values: Mapping[str, object]) -> dict[str, Scalar | tuple[str, ...]]:
    """The entries that a store can filter on: scalars, and lists of strings. The others are left out."""
    kept: dict[str, Scalar | tuple[str, ...]] = {}
    for name, value in values.items():
        if isinstance(value, str | int | float):
            kept[name] = value
        elif isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
            kept[name] = tuple(value)
    return kept
