"""What is handed in comes out as it went in, whatever it holds."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ingest.draft import Draft, document_of
from ingest.queue.handed import fingerprint, packed, unpacked

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
values = texts | numbers | st.lists(texts).map(tuple)
drafts = st.builds(
    Draft,
    uri=texts,
    text=texts,
    title=texts,
    acl=st.lists(texts, max_size=3).map(tuple),
    metadata=st.dictionaries(texts, values, max_size=4),
    updated_at=st.none() | st.datetimes(min_value=datetime(1971, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - as asked
    pages=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=3).map(tuple),
)


@given(draft=drafts)
def test_a_draft_survives_the_wait_and_makes_the_same_document(draft: Draft) -> None:
    body = packed(draft)
    back = unpacked(body)
    one, other = (document_of(each, "acme", "recipe").version for each in (draft, back))
    assert one == other
    assert (back.uri, back.text, back.acl, back.updated_at, back.pages) == (
        draft.uri,
        draft.text,
        draft.acl,
        draft.updated_at,
        draft.pages,
    )
    assert fingerprint(body) == fingerprint(packed(draft))
