"""Which stored points a call may touch: the one place where access and filters become a store's filter.

Stores translate a `Selection` into their own filter language and never look at an `Access` themselves.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from rag.base.types import Access, Condition, Filters, Range
from rag.index.filters import Fields

Kind = Literal["chunk", "document"]


class OneOf(Struct, frozen=True):
    """The value at `path` (for a list: one of its items) is one of `values`, which are of one type."""

    path: str
    values: tuple[str, ...] | tuple[int, ...]


class Within(Struct, frozen=True, kw_only=True):
    """The value at `path` lies within the bounds that are given, all numbers or all datetimes."""

    path: str
    gt: float | datetime | None = None
    gte: float | datetime | None = None
    lt: float | datetime | None = None
    lte: float | datetime | None = None


Test = OneOf | Within
Clause = tuple[Test, ...]
"""At least one of these tests holds."""


class Selection(Struct, frozen=True, kw_only=True):
    """Points for which every clause of `must` holds and none of `must_not`. A missing value passes no test."""

    must: tuple[Clause, ...]
    must_not: tuple[Clause, ...] = ()


def visible(access: Access, kind: Kind | None = None) -> Selection:
    """What the caller may see, of one kind or of both."""
    must: list[Clause] = [(OneOf("tenant", (access.tenant,)),)]
    if access.grants is not None:
        must.append((OneOf("acl", tuple(sorted(access.grants))),))
    if kind is not None:
        must.append((OneOf("kind", (kind,)),))
    return Selection(must=tuple(must))


def covers(access: Access, tenant: str, acl: frozenset[str]) -> bool:
    """Whether `visible` selects a document of that tenant and acl."""
    return access.tenant == tenant and (access.grants is None or not access.grants.isdisjoint(acl))


def meeting(filters: Filters, fields: Fields) -> Selection:
    """Points that meet the filters, whoever may see them: part of a selection, never all of it.

    A chunk holds every field of its document, so a selection of both kinds takes documents whole.
    """
    must: list[Clause] = []
    must_not: list[Clause] = []
    for condition in filters:
        negated = not isinstance(condition, Range) and condition.negated
        (must_not if negated else must).append(_clause(condition, fields))
    return Selection(must=tuple(must), must_not=tuple(must_not))


def selected(access: Access, filters: Filters, fields: Fields, kind: Kind | None = None) -> Selection:
    """What the caller may see and asked for."""
    return joined(visible(access, kind), meeting(filters, fields))


def joined(one: Selection, other: Selection) -> Selection:
    """The points that both select."""
    return Selection(must=(*one.must, *other.must), must_not=(*one.must_not, *other.must_not))


def chunks_of(document_id: str, versions: Sequence[str]) -> Selection:
    """The chunks of those versions of a document, for a store that puts another in their place."""
    tests = (OneOf("document_id", (document_id,)), OneOf("kind", ("chunk",)), OneOf("version", tuple(versions)))
    return Selection(must=tuple((test,) for test in tests))


def other_chunks_of(document_id: str, version: str) -> Selection:
    """The chunks of every other version of a document."""
    must = (OneOf("document_id", (document_id,)), OneOf("kind", ("chunk",)))
    return Selection(must=tuple((test,) for test in must), must_not=((OneOf("version", (version,)),),))


CHUNKS: Final = Selection(must=((OneOf("kind", ("chunk",)),),))
"""The chunks of every tenant."""

DOCUMENTS: Final = Selection(must=((OneOf("kind", ("document",)),),))
"""The records of every tenant."""

UNFINISHED: Final = Selection(must=((OneOf("state", ("replacing",)),), (OneOf("kind", ("document",)),)))
"""The records whose replacement a crash cut short, of every tenant."""


def _clause(condition: Condition, fields: Fields) -> Clause:
    path = fields.path(condition.field)
    if isinstance(condition, Range):
        return (Within(path=path, gt=condition.gt, gte=condition.gte, lt=condition.lt, lte=condition.lte),)
    keywords = tuple(value for value in condition.any_of if isinstance(value, str))
    if keywords:
        return (OneOf(path, keywords),)
    if any(isinstance(value, float) for value in condition.any_of):
        # No store matches floats by value.
        return tuple(Within(path=path, gte=float(value), lte=float(value)) for value in condition.any_of)
    return (OneOf(path, tuple(int(value) for value in condition.any_of)),)
