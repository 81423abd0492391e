import msgspec
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from ingest.config import IngestConfig
from ingest.library import Library
from ingest.parse.parsed import Parsed
from ingest.pipeline import Indexer
from rag.base.errors import Overloaded, PermanentIngestError, TransientIngestError
from rag.base.ids import document_id
from rag.govern.keys import KeyRing, new_key
from rag.govern.limits import Limits
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.serve.stage import KEYS, OTHERS, READS, WRITES, client_of, services

REFUNDS = {"uri": "wiki:refunds", "title": "Refunds", "text": "Refunds take 14 days.\n\nStaff get them at once."}
REFUNDS_ID = document_id("acme", "wiki:refunds")
LEGAL_TOKEN, LEGAL = new_key("lea", tenant="acme", groups=["legal"], scopes=["read", "write"])
LEGALS = {"authorization": f"Bearer {LEGAL_TOKEN}"}


def with_library(**changes):
    """Services with the real library over a store in memory."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    store = MemoryStore()
    indexer = Indexer(HashingEmbedder(), store, tokenizer, IngestConfig())
    parts = {"keys": KeyRing([*KEYS, LEGAL]), "library": Library(indexer, store)}
    return services(**parts | changes)


class FailingLibrary:
    """A library whose every method raises `error`."""

    def __init__(self, error):
        self.error = error

    async def get(self, access, document_id):
        return None

    async def put(self, access, draft, work):
        raise self.error


async def test_a_document_is_added_found_and_taken_away():
    async with client_of(with_library(), WRITES) as client:
        added = await client.put("/documents", json=REFUNDS)
        shown = await client.get(f"/documents/{REFUNDS_ID}")
        deleted = await client.delete(f"/documents/{REFUNDS_ID}")
        gone = await client.get(f"/documents/{REFUNDS_ID}")
    outcome = added.json()
    assert (added.status_code, outcome["status"], outcome["id"]) == (200, "added", REFUNDS_ID)
    assert outcome["n_chunks"] >= 1
    assert outcome["n_tokens"] >= 8
    record = shown.json()
    assert (record["uri"], record["title"], record["acl"]) == ("wiki:refunds", "Refunds", ["everyone"])
    assert record["version"] == outcome["version"]
    assert "text" not in record
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert gone.status_code == 404


async def test_the_text_is_given_when_asked_for():
    async with client_of(with_library(), WRITES) as client:
        await client.put("/documents", json=REFUNDS)
        record = (await client.get(f"/documents/{REFUNDS_ID}", params={"text": "true"})).json()
    assert record["text"] == REFUNDS["text"]
    assert record["n_chars"] == len(REFUNDS["text"])


async def test_the_same_again_changes_nothing_and_other_content_replaces_it():
    async with client_of(with_library(), WRITES) as client:
        statuses = [
            (await client.put("/documents", json=REFUNDS | change)).json()["status"]
            for change in (
                {},
                {},
                {"text": "Refunds take 20 days."},
                {"uri": "wiki:copy", "text": "Refunds take 20 days."},
            )
        ]
        copy = (await client.get(f"/documents/{document_id('acme', 'wiki:copy')}")).json()
    assert statuses == ["added", "unchanged", "updated", "duplicate"]
    assert copy["duplicate_of"] == REFUNDS_ID


async def test_a_document_is_replaced_by_its_id():
    async with client_of(with_library(), WRITES) as client:
        await client.put("/documents", json=REFUNDS)
        outcome = (await client.put(f"/documents/{REFUNDS_ID}", json={"text": "New words.", "title": "New"})).json()
        record = (await client.get(f"/documents/{REFUNDS_ID}?text=true")).json()
        absent = await client.put(f"/documents/{'f' * 32}", json={"text": "x"})
    assert (outcome["status"], outcome["uri"]) == ("updated", "wiki:refunds")
    assert (record["title"], record["text"]) == ("New", "New words.")
    assert absent.status_code == 404


@pytest.mark.parametrize("path", ["/documents", f"/documents/{REFUNDS_ID}"])
async def test_new_content_does_not_widen_the_circle_of_readers(path):
    content = {"text": "New words."} | ({"uri": "wiki:refunds"} if path == "/documents" else {})
    async with client_of(with_library(), LEGALS) as client:
        await client.put("/documents", json=REFUNDS | {"acl": ["group:legal"]})
        await client.put(path, json=content)
        kept = (await client.get(f"/documents/{REFUNDS_ID}")).json()
        await client.put(path, json=content | {"acl": ["everyone"]})
        opened = (await client.get(f"/documents/{REFUNDS_ID}")).json()
    assert (kept["acl"], opened["acl"]) == (["group:legal"], ["everyone"])


async def test_a_hidden_document_is_as_good_as_absent():
    """Byte for byte, but for the request id."""
    absent_id = "f" * 32
    async with client_of(with_library(), LEGALS) as client:
        await client.put("/documents", json=REFUNDS | {"acl": ["group:legal"]})
        for stranger in (WRITES, OTHERS):
            for method, body in (("GET", None), ("DELETE", None), ("PUT", {"text": "x"})):
                replies = [
                    await client.request(
                        method, f"/documents/{one}", json=body, headers=stranger | {"x-request-id": "same"}
                    )
                    for one in (REFUNDS_ID, absent_id)
                ]
                assert replies[0].status_code == 404
                assert replies[0].content == replies[1].content
                assert replies[0].headers == replies[1].headers
            listing = (await client.get("/documents", headers=stranger)).json()
            assert (listing["documents"], listing["total"]) == ([], 0)
        assert (await client.get(f"/documents/{REFUNDS_ID}")).status_code == 200


async def test_a_hidden_document_is_not_replaced_under_its_uri():
    async with client_of(with_library(), LEGALS) as client:
        await client.put("/documents", json=REFUNDS | {"acl": ["group:legal"]})
        refused = await client.put("/documents", json=REFUNDS | {"text": "Other."}, headers=WRITES)
        kept = (await client.get(f"/documents/{REFUNDS_ID}?text=true")).json()
    assert refused.status_code == 403
    assert "14 days" not in refused.text
    assert kept["text"] == REFUNDS["text"]


async def test_tenants_share_uris_and_nothing_else():
    async with client_of(with_library(), WRITES) as client:
        mine = (await client.put("/documents", json=REFUNDS)).json()
        theirs = (await client.put("/documents", json=REFUNDS, headers=OTHERS)).json()
        assert mine["id"] != theirs["id"]
        assert theirs["status"] == "added"
        assert (await client.get("/documents")).json()["total"] == 1


async def test_a_reader_may_read_and_not_write():
    async with client_of(with_library(), WRITES) as client:
        await client.put("/documents", json=REFUNDS)
        assert (await client.get(f"/documents/{REFUNDS_ID}", headers=READS)).status_code == 200
        for method, path, body in (
            ("PUT", "/documents", REFUNDS),
            ("PUT", f"/documents/{REFUNDS_ID}", {"text": "x"}),
            ("DELETE", f"/documents/{REFUNDS_ID}", None),
        ):
            refused = await client.request(method, path, json=body, headers=READS)
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")


async def test_a_listing_comes_in_pages_and_in_parts():
    async with client_of(with_library(), WRITES) as client:
        for number in range(5):
            body = {"uri": f"n:{number}", "text": f"number {number}", "format": "markdown" if number % 2 else "text"}
            await client.put("/documents", json=body)
        pages, cursor = [], None
        while True:
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/documents", params=params)).json()
            pages.append([document["uri"] for document in page["documents"]])
            assert page["total"] == 5
            if (cursor := page["cursor"]) is None:
                break
        by_format = (await client.get("/documents", params={"format": "markdown"})).json()
        by_uri = (await client.get("/documents", params={"uri": "n:3"})).json()
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(uri for page in pages for uri in page) == [f"n:{number}" for number in range(5)]
    assert {document["uri"] for document in by_format["documents"]} == {"n:1", "n:3"}
    assert [document["uri"] for document in by_uri["documents"]] == ["n:3"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("cursor=nonsense", "cursor")],
)
async def test_a_bad_parameter_is_named(query, parameter):
    async with client_of(with_library(), READS) as client:
        response = await client.get(f"/documents?{query}")
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-input")
    assert [fault["parameter"] for fault in response.json()["errors"]] == [parameter]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"uri": ""}, "/uri"),
        ({"uri": "x" * 2_001}, "/uri"),
        ({"text": ""}, "/text"),
        ({"text": " \n"}, "/text"),
        ({"format": "../x"}, "/format"),
        ({"acl": ["staff"]}, "/acl/0"),
        ({"acl": "everyone"}, "/acl"),
        ({"metadata": {"a": {"b": 1}}}, "/metadata"),
        ({"metadata": {"": 1}}, "/metadata"),
        ({"updated_at": "2026-01-01T00:00:00"}, "/updated_at"),
        ({"updated_at": "yesterday"}, "/updated_at"),
        ({"tenant": "other"}, "/tenant"),
        ({"id": REFUNDS_ID}, "/id"),
    ],
)
async def test_a_bad_document_is_pointed_at(change, pointer):
    async with client_of(with_library(), WRITES) as client:
        response = await client.put("/documents", json=REFUNDS | change)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


async def test_metadata_and_time_are_kept():
    change = {"metadata": {"year": 2026, "tags": ["a", "b"], "draft": False}, "updated_at": "2026-01-02T03:04:05+01:00"}
    async with client_of(with_library(), WRITES) as client:
        await client.put("/documents", json=REFUNDS | change)
        record = (await client.get(f"/documents/{REFUNDS_ID}")).json()
    assert record["metadata"] == change["metadata"]
    assert record["updated_at"] == "2026-01-02T02:04:05Z"


async def test_a_document_may_be_larger_than_a_question():
    large = msgspec.json.encode({"uri": "x", "text": "word " * 1_000})
    limits = Limits(max_body_bytes=1_000, max_document_bytes=10_000)
    async with client_of(with_library(limits=limits), WRITES) as client:
        headers = {"content-type": "application/json"}
        assert (await client.put("/documents", content=large, headers=headers)).status_code == 200
        assert (await client.put("/documents", content=large * 2, headers=headers)).status_code == 413
        assert (await client.post("/ask", content=large, headers=headers)).status_code == 413


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PermanentIngestError("it holds no text"), 422),
        (TransientIngestError("try again"), 503),
        (Overloaded("the queue is full", retry_after_s=2), 503),
    ],
)
async def test_a_document_that_cannot_be_indexed_says_why(error, status):
    async with client_of(services(library=FailingLibrary(error)), WRITES) as client:
        response = await client.put("/documents", json=REFUNDS)
    assert (response.status_code, response.json()["detail"]) == (status, str(error))


async def test_documents_that_match_are_deleted_and_counted():
    async with client_of(with_library(), WRITES) as client:
        for name in ("a", "b", "c"):
            await client.put("/documents", json={"uri": f"wiki:{name}", "text": f"Text {name}.", "format": "markdown"})
        await client.put("/documents", json=REFUNDS)
        wanted = {"filters": {"format": "markdown"}}
        deleted = await client.post("/documents/delete", json=wanted)
        again = await client.post("/documents/delete", json=wanted)
        left = await client.get("/documents")
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": 3, "left": 0})
    assert again.json() == {"deleted": 0, "left": 0}
    assert [document["uri"] for document in left.json()["documents"]] == ["wiki:refunds"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"filters": {"colour": "red"}}, 422), ({"filters": {"format": "x"}, "everything": True}, 422)],
)
async def test_a_deletion_says_what_it_means(body, status):
    async with client_of(with_library(), WRITES) as client:
        assert (await client.post("/documents/delete", json=body)).status_code == status


async def test_everything_goes_by_an_admin_only():
    token, admin = new_key("root", tenant="acme", scopes=["admin"])
    staged = with_library(keys=KeyRing([*KEYS, LEGAL, admin]))
    secret = {"uri": "wiki:secret", "text": "Secret.", "acl": ["group:legal"]}
    async with client_of(staged, WRITES) as client:
        await client.put("/documents", json=secret, headers=LEGALS)
        await client.put("/documents", json={"uri": "x:1", "text": "Elsewhere."}, headers=OTHERS)
        refused = await client.post("/documents/delete", json={"everything": True})
        done = await client.post(
            "/documents/delete", json={"everything": True}, headers={"authorization": f"Bearer {token}"}
        )
        elsewhere = await client.get("/documents", headers=OTHERS)
    assert refused.status_code == 403
    assert done.json() == {"deleted": 1, "left": 0}
    assert elsewhere.json()["total"] == 1


async def test_a_listing_of_ids_gives_those_that_are_there():
    async with client_of(with_library(), WRITES) as client:
        await client.put("/documents", json=REFUNDS)
        await client.put("/documents", json={"uri": "x:1", "text": "Elsewhere."})
        page = await client.get("/documents", params={"id": [REFUNDS_ID, "0" * 32]})
    assert [document["id"] for document in page.json()["documents"]] == [REFUNDS_ID]


class Parsers:
    """Reads what says that it can be read."""

    def __init__(self):
        self.names = []

    async def parse_bytes(self, data, name):
        self.names.append(name)
        if b"broken" in data:
            raise PermanentIngestError("it is not a valid pdf file")
        return Parsed(text=data.decode(), format="pdf", title="From the file", metadata={"author": "Ann", "n": 1})


PDF = {"content-type": "application/pdf"}


@pytest.mark.parametrize("wait", ["indexed", "searchable"])
async def test_a_file_is_read_into_the_document_that_it_holds(wait):
    parsers = Parsers()
    async with client_of(with_library(parsers=parsers), WRITES) as client:
        query = {"uri": "wiki:a", "acl": ["everyone", "group:hr"], "metadata": '{"n": 2}', "wait": wait}
        put = await client.put("/documents", content=b"Text of the file.", headers=PDF, params=query)
        shown = (await client.get(f"/documents/{document_id('acme', 'wiki:a')}?text=true")).json()
    assert (put.status_code, put.json()["status"], put.json()["state"]) == (200, "added", wait)
    assert (shown["text"], shown["title"], shown["format"]) == ("Text of the file.", "From the file", "pdf")
    assert (shown["acl"], shown["metadata"]) == (["everyone", "group:hr"], {"author": "Ann", "n": 2})
    assert parsers.names == ["wiki:a.pdf"]


async def test_a_form_with_a_file_is_read_likewise_and_replaces_by_id_too():
    parsers = Parsers()
    async with client_of(with_library(parsers=parsers), WRITES) as client:
        file = {"file": ("report.md", b"One.\r\n\x00two", "text/plain")}
        put = await client.put("/documents", files=file, data={"uri": "wiki:a", "title": "Mine"})
        identifier = put.json()["id"]
        again = await client.put(f"/documents/{identifier}", files={"file": ("r.pdf", b"Three.")})
        shown = (await client.get(f"/documents/{identifier}?text=true")).json()
    assert (put.status_code, again.status_code) == (200, 200)
    assert (again.json()["status"], shown["text"], shown["uri"]) == ("updated", "Three.", "wiki:a")
    assert parsers.names == ["report.md", "r.pdf.pdf"]


@pytest.mark.parametrize(
    ("query", "body", "status", "pointer"),
    [
        ({"uri": "wiki:a", "colour": "red"}, b"x", 422, "/colour"),
        ({"uri": "wiki:a", "metadata": "[1]"}, b"x", 422, "/metadata"),
        ({"uri": "wiki:a", "acl": "nobody"}, b"x", 422, "/acl/0"),
        ({"uri": ""}, b"x", 422, "/uri"),
        ({"uri": "wiki:a"}, b"broken", 422, None),
        ({}, b"x", 415, None),
    ],
)
async def test_a_file_that_cannot_be_taken_is_refused_with_the_place(query, body, status, pointer):
    async with client_of(with_library(parsers=Parsers()), WRITES) as client:
        reply = await client.put("/documents", content=body, headers=PDF, params=query)
    assert reply.status_code == status
    assert [fault.get("pointer") for fault in reply.json().get("errors", [])] == ([pointer] if pointer else [])


async def test_a_form_without_a_file_is_refused():
    async with client_of(with_library(parsers=Parsers()), WRITES) as client:
        reply = await client.put("/documents", files={"other": b"x"}, data={"uri": "wiki:a"})
    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "/file")


@pytest.mark.parametrize(("charset", "text"), [("bogus", b"a"), ("utf-8", b"\xff")])
async def test_a_form_in_no_known_charset_is_refused(charset, text):
    head = b'--x\r\nContent-Disposition: form-data; name="uri"\r\nContent-Type: text/plain; charset='
    form = head + charset.encode() + b"\r\n\r\n" + text + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    async with client_of(with_library(parsers=Parsers()), WRITES) as client:
        reply = await client.put("/documents", content=form, headers=headers)
    assert reply.status_code == 422


@pytest.mark.parametrize("guess", ["ann earns 5000 a year in all", "ann earns 9999 a year in all"])
async def test_nobody_learns_by_guessing_what_documents_of_other_readers_hold(guess):
    hidden = {"uri": "hr:1", "text": "ann earns 5000 a year in all", "acl": ["group:legal"]}
    async with client_of(with_library(), WRITES) as client:
        assert (await client.put("/documents", json=hidden, headers=LEGALS)).json()["status"] == "added"
        told = (await client.put("/documents", json=hidden | {"uri": "guess", "text": guess})).json()
        known = (await client.put("/documents", json=hidden | {"uri": "copy"}, headers=LEGALS)).json()
    assert (told["status"], told["n_chunks"], told["n_tokens"], told["near_duplicate_of"]) == ("added", 0, 0, None)
    assert known["status"] == "duplicate"
