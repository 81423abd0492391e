"""From what a caller wrote under `filters` to conditions that are known to make sense.

    {"format": "pdf"}                       equals
    {"format": ["pdf", "html"]}             equals one of these
    {"year": {"gte": 2020, "lt": 2024}}     lies between; also gt, lte
    {"format": {"not": "pdf"}}              equals none of these (a document without the field passes)

All entries must hold. Besides the built-in fields there is every metadata field that the settings declare, by its bare
name.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, cast

from msgspec import Struct

from rag.base.errors import ConfigError, InvalidInput
from rag.base.types import Condition, Filters, Match, Range, Scalar
from rag.index.config import FieldType

MAX_CONDITIONS: Final = 32
MAX_ALTERNATIVES: Final = 100
MAX_KEYWORD_LENGTH: Final = 2_000

# Stores compare integers with ranges in float64, which is exact up to here only.
MAX_INTEGER: Final = 2**53

_BUILT_IN: Final[Mapping[str, FieldType]] = {
    "document_id": "keyword",
    "uri": "keyword",
    "title": "keyword",
    "format": "keyword",
    "updated_at": "datetime",
}
_INTERNAL: Final[Mapping[str, FieldType]] = {
    "content_hash": "keyword",
    "duplicate_of": "keyword",
    "version": "keyword",
    "bands": "keyword",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_BOUNDS: Final = ("gt", "gte", "lt", "lte")


class Fields(Struct, frozen=True):
    """Which fields exist: built-in ones and `declared` metadata. Raises ConfigError for a bad declaration."""

    declared: Mapping[str, FieldType] = {}

    def __post_init__(self) -> None:
        for name in self.declared:
            if name in _BUILT_IN or name in _INTERNAL:
                raise ConfigError(f"the metadata field '{name}' has the name of a built-in field; rename it", path=name)
            if not _NAME.fullmatch(name):
                rule = "use letters, digits, '_' and '-', starting with a letter, at most 64"
                raise ConfigError(f"'{name}' cannot be the name of a filterable metadata field: {rule}", path=name)

    @property
    def filterable(self) -> dict[str, FieldType]:
        """What a caller may filter on, by name."""
        return {**_BUILT_IN, **self.declared}

    @property
    def stored(self) -> dict[str, FieldType]:
        """Every field with an index in the store, by its path in a stored payload."""
        return {**_BUILT_IN, **_INTERNAL, **{f"metadata.{name}": kind for name, kind in self.declared.items()}}

    def path(self, name: str) -> str:
        """Where the field lies in a stored payload. Raises KeyError for one that `parse_filters` would refuse."""
        if name in self.declared:
            return f"metadata.{name}"
        if name in _BUILT_IN or name in _INTERNAL:
            return name
        raise KeyError(name)


def parse_filters(raw: Mapping[str, object], fields: Fields, pointer: str = "/filters") -> Filters:
    """The conditions that `raw` states, in its order. Raises InvalidInput that points at the fault."""
    known = fields.filterable
    conditions: list[Condition] = []
    for name, value in raw.items():
        at = _below(pointer, name)
        if name not in known:
            raise InvalidInput(f"unknown field; the fields are: {', '.join(sorted(known))}", pointer=at)
        conditions.extend(_parse_field(name, known[name], value, at))
        if len(conditions) > MAX_CONDITIONS:
            raise InvalidInput(f"more than {MAX_CONDITIONS} conditions", pointer=pointer)
    return tuple(conditions)


def _parse_field(name: str, kind: FieldType, value: object, at: str) -> list[Condition]:
    if not isinstance(value, Mapping):
        return [_equality(name, kind, value, at)]
    operators = cast("Mapping[str, object]", value)
    if not operators:
        raise InvalidInput("an empty object states nothing; use gt, gte, lt, lte or not", pointer=at)
    conditions: list[Condition] = []
    bounds: dict[str, float | datetime] = {}
    for operator, operand in operators.items():
        below = _below(at, operator)
        if operator in _BOUNDS:
            bounds[operator] = _bound(kind, operand, below)
        elif operator == "not":
            conditions.append(_exclusion(name, kind, operand, below))
        else:
            raise InvalidInput("unknown operator; the operators are: gt, gte, lt, lte, not", pointer=below)
    if bounds:
        conditions.append(Range(field=name, **bounds))
    return conditions


def _equality(name: str, kind: FieldType, value: object, at: str) -> Condition:
    if kind == "datetime":
        instant = _datetime(value, at)
        return Range(field=name, gte=instant, lte=instant)
    return Match(field=name, any_of=_alternatives(kind, value, at))


def _exclusion(name: str, kind: FieldType, value: object, at: str) -> Condition:
    if kind == "datetime":
        raise InvalidInput("a datetime field is filtered with gt, gte, lt and lte", pointer=at)
    return Match(field=name, any_of=_alternatives(kind, value, at), negated=True)


def _alternatives(kind: FieldType, value: object, at: str) -> tuple[Scalar, ...]:
    parse = _SCALARS[kind]
    if not isinstance(value, list | tuple):
        return (parse(value, at),)
    if not 1 <= len(value) <= MAX_ALTERNATIVES:
        raise InvalidInput(f"{len(value)} alternatives; give 1 to {MAX_ALTERNATIVES}", pointer=at)
    return tuple(parse(one, _below(at, str(index))) for index, one in enumerate(value))


def _bound(kind: FieldType, value: object, at: str) -> float | datetime:
    if kind == "datetime":
        return _datetime(value, at)
    if kind == "integer":
        return _integer(value, at)
    if kind == "float":
        return _float(value, at)
    raise InvalidInput(f"a {kind} field has no order; give a value, a list of values or not", pointer=at)


def _keyword(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise _mismatch("a string", value, at)
    if len(value) > MAX_KEYWORD_LENGTH:
        raise InvalidInput(f"{len(value)} characters; at most {MAX_KEYWORD_LENGTH}", pointer=at)
    if not value.isprintable() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidInput("not valid Unicode: it holds half of a surrogate pair", pointer=at)
    return value


def _integer(value: object, at: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _mismatch("an integer", value, at)
    if abs(value) > MAX_INTEGER:
        raise InvalidInput(f"out of range; integers go from -{MAX_INTEGER} to {MAX_INTEGER}", pointer=at)
    return value


def _float(value: object, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch("a number", value, at)
    if isinstance(value, int):
        return float(_integer(value, at))
    if not math.isfinite(value):
        raise InvalidInput("not a finite number", pointer=at)
    return value


def _bool(value: object, at: str) -> bool:
    if not isinstance(value, bool):
        raise _mismatch("true or false", value, at)
    return value


def _datetime(value: object, at: str) -> datetime:
    if not isinstance(value, str | datetime):
        raise _mismatch("a date and time", value, at)
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("not a date and time in ISO 8601, such as 2024-05-01T12:00:00Z", pointer=at) from error


_SCALARS: Final[Mapping[FieldType, Callable[[object, str], Scalar]]] = {
    "keyword": _keyword,
    "integer": _integer,
    "float": _float,
    "bool": _bool,
}


def _mismatch(expected: str, value: object, at: str) -> InvalidInput:
    names = {str: "a string", bool: "a truth value", int: "an integer", float: "a number", type(None): "null"}
    found = "an object" if isinstance(value, Mapping) else names.get(type(value), "a list")
    return InvalidInput(f"expected {expected}, found {found}", pointer=at)


def _below(pointer: str, token: str) -> str:
    return f"{pointer}/{token.replace('~', '~0').replace('/', '~1')}"
