import msgspec
import pytest

from ingest.draft import Draft
from ingest.library import Library
from rag.base.deadline import Deadline
from rag.base.errors import DeadlineExceeded, Forbidden, PermanentIngestError
from rag.base.types import Match, Principal, Work
from rag.govern.access import managed_in, readable_by
from tests.fake_store import MemoryStore
from tests.indexing import TENANT, an_indexer, work

ANN = readable_by(Principal(subject="ann", tenant=TENANT))
HR = readable_by(Principal(subject="bob", tenant=TENANT, groups=frozenset({"hr"})))
ABROAD = readable_by(Principal(subject="ann", tenant="other"))
TEXT = "# The cat\n\n" + "It sat on a mat. \r\n" * 9


@pytest.fixture
def library() -> Library:
    store = MemoryStore()
    return Library(an_indexer(store), store)


def draft(uri: str = "doc:a", text: str = TEXT, **changes: object) -> Draft:
    return Draft(uri=uri, text=text, format="markdown", **changes)


async def test_what_is_put_is_got_back_whole(library: Library) -> None:
    outcome = await library.put(ANN, draft(title="Cats"), work())
    record = await library.get(ANN, outcome.document_id)
    assert record is not None
    assert (record.title, record.n_chunks, record.version) == ("Cats", outcome.n_chunks, outcome.version)
    assert await library.text(ANN, outcome.document_id) == TEXT
    assert [one.id for one in (await library.list(ANN, (), 10)).records] == [outcome.document_id]
    assert (await library.put(ANN, draft(title="Cats"), work())).status == "unchanged"


async def test_a_duplicate_has_the_text_of_its_original_and_outlives_it(library: Library) -> None:
    first = await library.put(ANN, draft(), work())
    second = await library.put(ANN, draft("doc:b"), work())
    assert (second.status, second.n_chunks) == ("duplicate", 0)
    assert await library.text(ANN, second.document_id) == TEXT
    assert await library.delete(ANN, first.document_id)
    assert await library.text(ANN, second.document_id) == TEXT
    assert await library.get(ANN, first.document_id) is None


@pytest.mark.parametrize("stranger", [ANN, ABROAD])
async def test_what_is_not_visible_is_not_there(library: Library, stranger: object) -> None:
    outcome = await library.put(HR, draft(acl=("group:hr",)), work())
    assert await library.get(stranger, outcome.document_id) is None
    assert await library.text(stranger, outcome.document_id) is None
    assert (await library.list(stranger, (), 10)).total == 0
    assert not await library.delete(stranger, outcome.document_id)
    assert await library.text(HR, outcome.document_id) == TEXT


async def test_what_is_not_visible_is_not_replaced(library: Library) -> None:
    outcome = await library.put(HR, draft(acl=("group:hr",)), work())
    with pytest.raises(Forbidden):
        await library.put(ANN, draft(text="mine now"), work())
    assert await library.text(HR, outcome.document_id) == TEXT
    elsewhere = await library.put(ABROAD, draft(text="my own"), work())
    assert elsewhere.document_id != outcome.document_id


async def test_a_document_without_text_is_refused(library: Library) -> None:
    with pytest.raises(PermanentIngestError, match="no text"):
        await library.put(ANN, draft(text=" \n"), work())


async def test_a_change_of_readers_takes_effect_on_this_document_only(library: Library) -> None:
    first = await library.put(HR, draft(), work())
    second = await library.put(HR, draft("doc:b"), work())
    await library.put(HR, draft(acl=("group:hr",)), work())
    assert await library.text(ANN, first.document_id) is None
    assert await library.text(ANN, second.document_id) == TEXT
    assert await library.text(HR, first.document_id) == TEXT


async def test_a_listing_can_be_filtered(library: Library) -> None:
    await library.put(ANN, draft(), work())
    other = await library.put(ANN, Draft(uri="doc:b", text="plain"), work())
    page = await library.list(managed_in(TENANT), (Match(field="format", any_of=("text",)),), 10)
    assert [record.id for record in page.records] == [other.document_id]


async def test_many_are_deleted_and_duplicates_that_stay_keep_their_text(library: Library) -> None:
    for uri, title in (("doc:a", "go"), ("doc:b", "stay"), ("doc:c", "go"), ("doc:d", "go")):
        await library.put(ANN, draft(uri, title=title), work())
    await library.put(ANN, draft("doc:e", "Another text."), work())
    done = await library.delete_matching(ANN, (Match(field="title", any_of=("go",)),))
    assert (done.n_deleted, done.n_left) == (3, 0)
    left = {record.uri: record for record in (await library.list(ANN, (), 10)).records}
    assert set(left) == {"doc:b", "doc:e"}
    assert left["doc:b"].duplicate_of is None
    assert await library.text(ANN, left["doc:b"].id) == TEXT


async def test_what_a_caller_may_not_see_is_not_deleted(library: Library) -> None:
    await library.put(HR, draft("doc:secret", acl=("group:hr",)), work())
    await library.put(ANN, draft("doc:open"), work())
    assert (await library.delete_matching(ANN, ())).n_deleted == 1
    done = await library.delete_matching(managed_in(TENANT), ())
    assert (done.n_deleted, done.n_left) == (1, 0)


async def test_searchable_is_what_was_read_back(library: Library) -> None:
    first = await library.put(ANN, draft(), work())
    second = await library.put(ANN, draft("doc:b"), work())
    for outcome in (first, second):
        await library.require_searchable(TENANT, outcome, work())
    other = msgspec.structs.replace(first, version="other")
    with pytest.raises(DeadlineExceeded):
        await library.require_searchable(TENANT, other, Work(tenant=TENANT, deadline=Deadline.after(0.01)))
