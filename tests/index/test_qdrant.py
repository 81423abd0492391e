"""What is particular to the Qdrant server: failures and second tries, the manifest, pages, gRPC."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
import httpx
import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.conversions.conversion import RestToGrpc
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from qdrant_client.models import PointStruct, ScalarType

from rag.base.errors import BadDependency, ConfigError, DeadlineExceeded, GroundwireError, InvalidInput, Unavailable
from rag.base.types import Access
from rag.govern.access import managed_in
from rag.index.bm25 import Bm25Encoder
from rag.index.config import FusionConfig, QdrantConfig
from rag.index.filters import Fields, parse_filters
from rag.index.hybrid import Hybrid, Plan
from rag.index.manifest import Manifest
from rag.index.payload import point_id, record_payload
from rag.index.qdrant import IN_MEMORY, QdrantStore
from rag.index.qdrant_calls import PAUSES_S, Calls, failure_of
from rag.index.qdrant_points import new_collection, payload_indexes, query, server_filter
from rag.index.selection import selected
from rag.telemetry.spans import Tracer
from rag.telemetry.w3c import HEADER, written
from tests.building import DIMENSION, EMBEDDER, FIELDS, document, question

ALL = managed_in("acme")
CONFIG = QdrantConfig(url=IN_MEMORY)
HYBRID = Hybrid(FIELDS, FusionConfig(), Bm25Encoder(CONFIG.bm25), DIMENSION)
MANIFEST = Manifest(embedder=EMBEDDER.name, dimension=DIMENSION, bm25=CONFIG.bm25, fields=FIELDS.declared)


async def opened(client: AsyncQdrantClient, manifest: Manifest = MANIFEST) -> QdrantStore:
    """A store as `open` makes it, over a client whose memory outlives it."""
    store = QdrantStore(client, CONFIG, HYBRID)
    await store._prepare(manifest)
    return store


def rpc_error(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "secret text of a document")


def http_error(status: int) -> UnexpectedResponse:
    return UnexpectedResponse(status, "reason", b"secret text of a document", httpx.Headers())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (rpc_error(grpc.StatusCode.UNAVAILABLE), Unavailable),
        (rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED), Unavailable),
        (rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED), DeadlineExceeded),
        (rpc_error(grpc.StatusCode.UNAUTHENTICATED), BadDependency),
        (rpc_error(grpc.StatusCode.INVALID_ARGUMENT), BadDependency),
        (http_error(503), Unavailable),
        (http_error(429), Unavailable),
        (http_error(403), BadDependency),
        (http_error(500), BadDependency),
        (ResourceExhaustedResponse("secret text of a document", 3), Unavailable),
        (ResponseHandlingException(httpx.ConnectError("refused")), Unavailable),
        (ResponseHandlingException(httpx.ReadTimeout("slow")), DeadlineExceeded),
        (ResponseHandlingException(ValueError("secret text of a document")), BadDependency),
        (RuntimeError("secret text of a document"), BadDependency),
    ],
)
def test_a_failure_of_the_client_becomes_ours_without_its_text(error: Exception, kind: type[GroundwireError]) -> None:
    failure = failure_of(error)
    assert type(failure) is kind
    assert "secret" not in str(failure)


class Flaky:
    """Fails with the given errors, one per call, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.slept_s: list[float] = []

    async def __call__(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "answer"

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


async def test_a_transient_failure_is_tried_again_after_a_pause() -> None:
    down = rpc_error(grpc.StatusCode.UNAVAILABLE)
    flaky = Flaky(down, down)
    assert await Calls(5.0, flaky.sleep).make(flaky) == "answer"
    assert flaky.slept_s == list(PAUSES_S)


async def test_three_tries_are_all() -> None:
    down = http_error(503)
    flaky = Flaky(down, down, down)
    with pytest.raises(Unavailable) as caught:
        await Calls(5.0, flaky.sleep).make(flaky)
    assert caught.value.__cause__ is down


async def test_a_lasting_failure_is_not_tried_again() -> None:
    flaky = Flaky(http_error(400))
    with pytest.raises(BadDependency):
        await Calls(5.0, flaky.sleep).make(flaky)
    assert flaky.slept_s == []


async def test_a_call_ends_at_its_deadline() -> None:
    with pytest.raises(DeadlineExceeded, match=r"within 0\.01 s"):
        await Calls(0.01).make(asyncio.Event().wait)


async def test_a_call_carries_the_trace_that_it_belongs_to() -> None:
    seen: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"result": {"exists": True}, "status": "ok", "time": 0.0})

    client = AsyncQdrantClient(
        url="http://qdrant:6333", check_compatibility=False, transport=httpx.MockTransport(reply)
    )
    with Tracer(lambda _: None).request("POST /ask", "server") as span:
        await Calls(5.0).make(lambda: client.collection_exists("any"))
    await Calls(5.0).make(lambda: client.collection_exists("any"))
    await client.close()
    inside, outside = seen
    assert inside.headers[HEADER] == written(span.point)
    assert HEADER not in outside.headers


class BrokenClient:
    """A client whose reads fail."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def fail(*arguments: object, **options: object) -> object:
            raise http_error(500)

        return fail


async def test_members_of_a_batch_fail_each_with_its_own_reason() -> None:
    store = QdrantStore(BrokenClient(), CONFIG, HYBRID)  # type: ignore[arg-type]  # a stand-in
    good = await question("words", ALL)
    empty = await question("", ALL)
    half = await question("\ud800", Access(tenant="acme", grants=None))
    outcomes = await store.search_batch([good, half, empty])
    assert [type(outcome) for outcome in outcomes] == [BadDependency, InvalidInput, BadDependency]
    assert await store.search_batch([empty]) == [[]]


async def test_another_build_is_refused() -> None:
    client = AsyncQdrantClient(IN_MEMORY)
    await opened(client)
    await opened(client)
    with pytest.raises(ConfigError, match="rag reindex"):
        await opened(client, Manifest(embedder="other@1", dimension=DIMENSION, bm25=CONFIG.bm25, fields={}))
    await client.close()


async def test_the_manifest_is_no_document() -> None:
    store = await opened(AsyncQdrantClient(IN_MEMORY))
    assert (await store.records(ALL, (), 10)).total == 0
    assert await store.delete(ALL, ()) == 0
    assert await store.delete(managed_in(""), ()) == 0
    await store.close()


async def test_an_interrupted_replacement_is_finished_on_opening() -> None:
    client = AsyncQdrantClient(IN_MEMORY)
    store = await opened(client)
    old, new = await document("a.txt", ["old words", "older words"]), await document("a.txt", ["new words"])
    await store.put([new])
    await store.put([old])
    chunks, _ = await client.scroll(CONFIG.collection, limit=99, with_vectors=True)
    assert len(chunks) == 1 + 1 + 2
    await store.put([new])
    # As if the process had died after the upsert: the old chunks are still there and the record says so.
    stale = [
        PointStruct(id=point.id, vector=point.vector, payload=point.payload)  # type: ignore[arg-type]  # in and out differ
        for point in chunks
        if (point.payload or {}).get("kind") == "chunk"
    ]
    record = PointStruct(
        id=next(point.id for point in chunks if (point.payload or {}).get("kind") == "document"),
        vector={},
        payload=record_payload(new.record, [old.record.version]),
    )
    await client.upsert(CONFIG.collection, [*stale, record])
    assert len(await store.passages(ALL, new.record.id)) == 3
    store = await opened(client)
    assert [passage.chunk.text for passage, _ in await store.passages(ALL, new.record.id)] == ["new words"]
    assert (await store.records(ALL, (), 9)).records == (new.record,)
    await store.close()


async def test_chunks_that_no_record_tells_of_go_with_the_next_version() -> None:
    """As if a process had died between the requests that a long document takes."""
    client = AsyncQdrantClient(IN_MEMORY)
    store = await opened(client)
    lost, next_one = await document("a.txt", ["lost words", "more of them"]), await document("a.txt", ["new words"])
    other = await document("b.txt", ["other words"])
    await store.put([lost, other])
    await client.delete(CONFIG.collection, [point_id(lost.record.id)])
    assert (await store.records(ALL, (), 9)).records == (other.record,)
    await store.put([next_one])
    assert [passage.chunk.text for passage, _ in await store.passages(ALL, lost.record.id)] == ["new words"]
    assert len(await store.passages(ALL, other.record.id)) == 1
    await store.close()


@pytest.mark.parametrize("n_chunks", [0, 1, 256, 257, 600])
async def test_a_document_of_many_chunks_is_stored_whole(n_chunks: int) -> None:
    store = await opened(AsyncQdrantClient(IN_MEMORY))
    put = await document("long.txt", [f"words {n}" for n in range(n_chunks)])
    await store.put([put])
    assert [passage.chunk for passage, _ in await store.passages(ALL, put.record.id)] == list(put.chunks)
    await store.close()


async def test_a_url_that_is_none_is_a_config_error() -> None:
    with pytest.raises(ConfigError) as caught:
        await QdrantStore.open(
            QdrantConfig(url="ftp://somewhere"), fusion=FusionConfig(), fields=Fields(), embedder_name="e", dimension=3
        )
    assert caught.value.path == "store.url"


async def test_every_request_can_be_said_in_grpc() -> None:
    filters = parse_filters(
        {"format": ["pdf"], "year": {"gte": 1, "not": [2]}, "rating": [1.5, 2], "due": {"lt": "2024-01-01"}}, FIELDS
    )
    plan = HYBRID.plan(await question("some words", ALL, filters))
    assert isinstance(plan, Plan)
    dense, bm25 = (RestToGrpc.convert_query_request(query(plan, leg), "c") for leg in plan.legs)
    assert dense.using == "dense"
    assert [condition.field.key for condition in bm25.params.idf.corpus.must] == ["tenant", "kind"]
    assert len(bm25.filter.must) == 6
    assert len(bm25.filter.must_not) == 1
    nobody = server_filter(selected(Access(tenant="acme", grants=frozenset()), (), FIELDS))
    assert RestToGrpc.convert_filter(nobody).must[1].HasField("has_id")
    assert payload_indexes(FIELDS.stored)["metadata.draft"] == "integer"


def test_a_collection_is_made_as_the_settings_say() -> None:
    plain = new_collection(QdrantConfig(url=IN_MEMORY), 384)
    assert (plain["shard_number"], plain["replication_factor"], plain["quantization_config"]) == (1, 1, None)
    assert plain["strict_mode_config"] is None
    assert plain["vectors_config"]["dense"].on_disk is None
    changed = new_collection(
        QdrantConfig(url=IN_MEMORY, shards=4, replicas=3, write_replicas=2, quantisation="scalar", on_disk=True), 384
    )
    assert (changed["shard_number"], changed["replication_factor"], changed["write_consistency_factor"]) == (4, 3, 2)
    assert changed["quantization_config"].scalar.type is ScalarType.INT8
    assert changed["vectors_config"]["dense"].on_disk is changed["on_disk_payload"] is True
    binary = new_collection(QdrantConfig(url=IN_MEMORY, quantisation="binary", strict=True), 384)
    assert binary["quantization_config"].binary.always_ram is True
    assert binary["strict_mode_config"].enabled is True
    for wanted in (plain, changed, binary):
        assert set(wanted) <= set(inspect.signature(AsyncQdrantClient.create_collection).parameters)
