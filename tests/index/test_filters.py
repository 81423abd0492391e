import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import ConfigError, InvalidInput
from rag.base.types import Filters, Match, Range
from rag.index.filters import MAX_ALTERNATIVES, MAX_CONDITIONS, MAX_INTEGER, Fields, parse_filters

FIELDS = Fields({"year": "integer", "rating": "float", "draft": "bool", "due": "datetime", "tags": "keyword"})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def fault(raw: dict[str, object]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_filters(raw, FIELDS)
    return caught.value


def test_a_value_asks_for_equality_and_a_list_for_any_of_it() -> None:
    assert parse_filters({"format": "pdf", "year": [2020, 2021]}, FIELDS) == (
        Match(field="format", any_of=("pdf",)),
        Match(field="year", any_of=(2020, 2021)),
    )


def test_bounds_make_one_range_and_not_a_negated_match() -> None:
    assert parse_filters({"year": {"gte": 2020, "not": 2022, "lt": 2024}}, FIELDS) == (
        Match(field="year", any_of=(2022,), negated=True),
        Range(field="year", gte=2020, lt=2024),
    )


def test_a_number_for_a_float_field_becomes_a_float() -> None:
    (condition,) = parse_filters({"rating": 4}, FIELDS)
    assert isinstance(condition, Match)
    assert [type(value) for value in condition.any_of] == [float]


@pytest.mark.parametrize("written", ["2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00", "2024-05-01T12:00:00"])
def test_datetimes_are_read_as_utc(written: str) -> None:
    instant = datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert parse_filters({"due": {"gt": written}}, FIELDS) == (Range(field="due", gt=instant),)
    assert parse_filters({"updated_at": written}, FIELDS) == (Range(field="updated_at", gte=instant, lte=instant),)


def test_an_unknown_field_is_refused_with_the_list_of_known_ones() -> None:
    error = fault({"colour": "red"})
    assert error.pointer == "/filters/colour"
    assert str(error).endswith("document_id, draft, due, format, rating, tags, title, updated_at, uri, year")


@pytest.mark.parametrize("name", ["tenant", "acl", "content_hash", "duplicate_of", "version", "kind", "metadata.year"])
def test_internal_fields_are_unknown_to_callers(name: str) -> None:
    assert fault({name: "x"}).pointer == f"/filters/{name}"


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ({"a/b~c": 1}, "/filters/a~1b~0c"),
        ({"year": True}, "/filters/year"),
        ({"year": 2020.0}, "/filters/year"),
        ({"year": MAX_INTEGER + 1}, "/filters/year"),
        ({"year": None}, "/filters/year"),
        ({"year": {}}, "/filters/year"),
        ({"year": []}, "/filters/year"),
        ({"year": [2020, "2021"]}, "/filters/year/1"),
        ({"year": [[2020]]}, "/filters/year/0"),
        ({"year": {"gte": "2020"}}, "/filters/year/gte"),
        ({"year": {"not": [2020, None]}}, "/filters/year/not/1"),
        ({"year": {"in/out": 1}}, "/filters/year/in~1out"),
        ({"rating": math.nan}, "/filters/rating"),
        ({"rating": {"lt": math.inf}}, "/filters/rating/lt"),
        ({"rating": False}, "/filters/rating"),
        ({"rating": 10**400}, "/filters/rating"),
        ({"draft": 1}, "/filters/draft"),
        ({"draft": {"gt": False}}, "/filters/draft/gt"),
        ({"due": {"not": "2024-01-01"}}, "/filters/due/not"),
        ({"due": {"gt": "tomorrow"}}, "/filters/due/gt"),
        ({"due": {"gt": 2024}}, "/filters/due/gt"),
        ({"due": "0001-01-01T00:00:00+14:00"}, "/filters/due"),
        ({"format": 3}, "/filters/format"),
        ({"format": {"gte": "a"}}, "/filters/format/gte"),
        ({"format": "\ud800"}, "/filters/format"),
        ({"format": "x" * 2_001}, "/filters/format"),
        ({"format": ["x"] * (MAX_ALTERNATIVES + 1)}, "/filters/format"),
    ],
)
def test_a_fault_is_pointed_at(raw: dict[str, object], pointer: str) -> None:
    assert fault(raw).pointer == pointer


def test_the_number_of_conditions_is_bounded() -> None:
    many = Fields({f"f{n}": "integer" for n in range(MAX_CONDITIONS + 1)})
    raw = {f"f{n}": n for n in range(MAX_CONDITIONS)}
    assert len(parse_filters(raw, many)) == MAX_CONDITIONS
    with pytest.raises(InvalidInput) as caught:
        parse_filters(raw | {f"f{MAX_CONDITIONS}": 0}, many)
    assert caught.value.pointer == "/filters"


def outcome(raw: dict[str, object]) -> Filters | InvalidInput:
    try:
        return parse_filters(raw, FIELDS, pointer="/here")
    except InvalidInput as error:
        return error


@given(st.dictionaries(st.sampled_from(sorted(FIELDS.filterable)) | st.text(), json_values))
def test_any_json_is_either_understood_or_refused_with_a_pointer(raw: dict[str, object]) -> None:
    result = outcome(raw)
    if isinstance(result, InvalidInput):
        assert result.pointer.startswith("/here")
    else:
        assert {condition.field for condition in result} == set(raw)
        assert all(FIELDS.path(condition.field) in FIELDS.stored for condition in result)


@pytest.mark.parametrize(
    "name", ["uri", "updated_at", "content_hash", "version", "", "a b", "a.b", "1st", "é", "x" * 65, "a\n"]
)
def test_a_bad_declaration_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError):
        Fields({name: "keyword"})


def test_declared_fields_lie_under_metadata() -> None:
    assert FIELDS.path("year") == "metadata.year"
    assert FIELDS.path("duplicate_of") == "duplicate_of"
    with pytest.raises(KeyError):
        FIELDS.path("acl")
