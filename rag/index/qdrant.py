"""The store on a Qdrant server, shared by any number of processes.

Payloads, vectors, filters and the order of operations are those of the embedded store. A server differs in this:

- A reader may see the old and the new version of a document in the moment between two operations of a replacement.
- A process that dies within a replacement leaves it to the next one that opens the collection to finish.
- Two processes must not put the same document at the same time.
- `epoch` counts the changes of this process only.
- A store whose collection another process has replaced (`rag reindex`) goes on answering from it, and refuses writes.
"""

import math
import time
from collections.abc import Collection, Sequence
from typing import Final, Self

from qdrant_client import AsyncQdrantClient, models

from rag.base.errors import ConfigError, DependencyError, GroundwireError, Unavailable
from rag.base.ports import IndexedDocument, Page, Retrieval, Vectors
from rag.base.types import Access, DocumentRecord, Filters, Passage
from rag.index.bm25 import Bm25Encoder
from rag.index.config import FusionConfig, QdrantConfig
from rag.index.cursor import cursor_at, read_cursor
from rag.index.filters import Fields
from rag.index.fusion import Fused, Ranking
from rag.index.hybrid import DENSE, Hybrid, Outcome, Plan, candidates, dense_of
from rag.index.manifest import Manifest
from rag.index.payload import (
    WHOLE,
    chunk_payloads,
    grouped,
    identifier_of,
    point_id,
    read_passage,
    read_record,
    record_payload,
    versions_to_replace,
)
from rag.index.qdrant_calls import Calls
from rag.index.qdrant_collections import IN_MEMORY, Collections
from rag.index.qdrant_points import (
    chunk_points,
    query,
    read_point,
    record_point,
    server_filter,
)
from rag.index.selection import DOCUMENTS, UNFINISHED, OneOf, Selection, chunks_of, other_chunks_of, selected
from rag.index.wear import Wear

_PAGE: Final = 256
_MAX_TENANTS: Final = 100_000


class QdrantStore:
    """The PassageStore in a collection of a server. Made by `open`. Safe to call concurrently."""

    def __init__(self, client: AsyncQdrantClient, config: QdrantConfig, hybrid: Hybrid) -> None:
        self._client = client
        self._collection = config.collection
        self._hybrid = hybrid
        self._calls = Calls(config.timeout_s)
        self.collections = Collections(client, config, self._calls)
        self._was_in_use = False
        self._epoch = time.time_ns()
        self.name = f"qdrant/{hybrid.fusion.kind}"

    @classmethod
    async def open(
        cls,
        config: QdrantConfig,
        *,
        fusion: FusionConfig,
        fields: Fields,
        embedder_name: str,
        dimension: int,
        grows: bool = False,
    ) -> Self:
        """Opens the collection in use, made when missing, and finishes replacements that a crash left half done.

        One that `grows` is another: the one that may be in use next, with what an earlier run left of it.

        Raises ConfigError when it was built with another embedder, and as `Calls.make` does.
        """
        hybrid = Hybrid(fields, fusion, Bm25Encoder(config.bm25), dimension)
        store = cls(connected(config), config, hybrid)
        wanted = Manifest(embedder=embedder_name, dimension=dimension, bm25=config.bm25, fields=fields.declared)
        try:
            await store._prepare(wanted, grows=grows)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Ends the connection."""
        await self._client.close()

    @property
    def epoch(self) -> int:
        """Grows with every change by this process that a reader can see."""
        return self._epoch

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        """As the port says; also raises PermanentIngestError, before anything is stored, for what cannot be stored.

        A document of more chunks than one request takes is sent in several, its record last. A process that dies in
        between leaves chunks that no record tells of; they go with the next version, whichever that is.
        """
        for document in documents:
            record_payload(document.record)
            chunk_payloads(document)
        for group in grouped(documents, _PAGE):
            points = [point for document in group for point in chunk_points(document, self._hybrid.encoder)]
            *pages, rest = [points[start : start + _PAGE] for start in range(0, max(1, len(points)), _PAGE)]
            for page in pages:
                await self._update(_upsert(page))
            replaced = await self._versions_to_replace([document.record for document in group])
            await self._require_in_use()
            records = [record_point(document, replaced.get(document.record.id, ())) for document in group]
            await self._update(_upsert([*rest, *records]), _clearing(group), *_settling(replaced))
            self._epoch += 1

    async def delete(self, access: Access, filters: Filters) -> int:
        """As the port says."""
        n_documents = await self.count(access, filters)
        if n_documents:
            await self._require_in_use()
            await self._update(_delete(server_filter(selected(access, filters, self._hybrid.fields))))
            self._epoch += 1
        return n_documents

    async def records(self, access: Access, filters: Filters, limit: int, cursor: str | None = None) -> Page:
        """As the port says."""
        offset = None if cursor is None else point_id(read_cursor(cursor))
        wanted = server_filter(selected(access, filters, self._hybrid.fields, "document"))
        found, following = await self._scroll(wanted, limit=limit, offset=offset)
        return Page(
            records=tuple(read_record(record.payload or {}) for record in found),
            total=await self.count(access, filters),
            cursor=None if following is None else cursor_at(identifier_of(following)),
        )

    async def passages(self, access: Access, document_id: str) -> list[tuple[Passage, Vectors]]:
        """As the port says."""
        visible = selected(access, (), self._hybrid.fields, "chunk")
        wanted = server_filter(Selection(must=(*visible.must, (OneOf("document_id", (document_id,)),))))
        passages: list[tuple[Passage, Vectors]] = []
        offset = None
        while True:
            found, offset = await self._scroll(wanted, limit=_PAGE, offset=offset, vectors=True)
            passages.extend(read_point(record) for record in found)
            if offset is None:
                return sorted(passages, key=lambda entry: entry[0].chunk.ordinal)

    async def count(self, access: Access, filters: Filters = ()) -> int:
        """How many documents match."""
        wanted = server_filter(selected(access, filters, self._hybrid.fields, "document"))
        return (await self._calls.make(lambda: self._client.count(self._collection, wanted, exact=True))).count

    async def n_documents(self) -> int:
        """How many documents there are, whoever may see them."""
        wanted = server_filter(DOCUMENTS)
        return (await self._calls.make(lambda: self._client.count(self._collection, wanted, exact=True))).count

    async def tenants(self) -> list[str]:
        """Everyone who has a document here, for upkeep that goes over all of them."""
        found = await self._calls.make(
            lambda: self._client.facet(self._collection, "tenant", limit=_MAX_TENANTS, exact=True)
        )
        return sorted(str(hit.value) for hit in found.hits)

    async def wear(self) -> Wear:
        """Nothing: the server keeps itself in order."""
        return Wear()

    async def optimize(self) -> bool:
        """Nothing: the server does it by itself."""
        return False

    async def search_batch(
        self,
        requests: Sequence[Retrieval],
        *,
        here: bool = False,
    ) -> list[Outcome]:
        """One outcome per request, in order: at most `limit` candidates, best first, or why that member failed."""
        fused = await self._search([self._hybrid.plan(request) for request in requests])
        found = [found.id for one in fused if isinstance(one, list) for found in one]
        try:
            passages, vectors = await self._stored(
                found, with_vectors=any(request.with_vectors for request in requests)
            )
        except DependencyError as error:
            return [error if isinstance(one, list) else one for one in fused]
        return [
            candidates(one, passages, vectors if request.with_vectors else {}) if isinstance(one, list) else one
            for request, one in zip(requests, fused, strict=True)
        ]

    async def _search(self, plans: Sequence[Plan | GroundwireError]) -> list[list[Fused[str]] | GroundwireError]:
        queries = [query(plan, leg) for plan in plans if isinstance(plan, Plan) for leg in plan.legs]
        try:
            responses = iter(
                await self._calls.make(lambda: self._client.query_batch_points(self._collection, queries))
                if queries
                else []
            )
        except DependencyError as error:
            return [error if isinstance(plan, Plan) else plan for plan in plans]
        return [
            self._hybrid.fuse(plan, [_ranking(next(responses)) for _ in plan.legs]) if isinstance(plan, Plan) else plan
            for plan in plans
        ]

    async def _stored(
        self, identifiers: Sequence[str], *, with_vectors: bool
    ) -> tuple[dict[str, Passage], dict[str, Sequence[float]]]:
        """The passages of those chunks, and their dense vectors where they are wanted."""
        points = [point_id(identifier) for identifier in dict.fromkeys(identifiers)]
        if not points:
            return {}, {}
        wanted = [DENSE] if with_vectors else False
        found = await self._calls.make(
            lambda: self._client.retrieve(self._collection, list(points), with_vectors=wanted)
        )
        passages = {identifier_of(one.id): read_passage(identifier_of(one.id), one.payload or {}) for one in found}
        return passages, {identifier_of(one.id): dense_of(one.vector) for one in found} if with_vectors else {}

    async def _prepare(self, wanted: Manifest, *, grows: bool = False) -> None:
        used = None if grows else await self.collections.in_use()
        if grows:
            self._collection = await self.collections.following(wanted)
        else:
            self._collection = used or await self.collections.first()
        await self.collections.make(self._collection, wanted.dimension, self._hybrid.fields.stored)
        built = await self.collections.manifest(self._collection)
        if built is not None:
            built.require_same_build(wanted, f"the collection '{self._collection}'")
        await self.collections.stamp(self._collection, wanted)
        if not grows and used is None:
            await self.adopt()
        self._was_in_use = not grows
        await self._roll_forward()

    async def adopt(self) -> None:
        """Makes this collection the one that is opened from now on."""
        await self.collections.adopt(self._collection)

    async def _require_in_use(self) -> None:
        """Raises Unavailable once another collection is in use in place of this one: what is put here would be lost."""
        if await self.collections.in_use() == self._collection:
            self._was_in_use = True
        elif self._was_in_use:
            raise Unavailable("the index was built anew elsewhere; start this process again with the settings of that")

    async def _roll_forward(self) -> None:
        unfinished = server_filter(UNFINISHED)
        while found := (await self._scroll(unfinished, limit=_PAGE))[0]:
            payloads = [record.payload or {} for record in found]
            stale = [server_filter(chunks_of(payload["document_id"], payload["replaces"])) for payload in payloads]
            settling = _settling([payload["document_id"] for payload in payloads])
            await self._update(_delete(models.Filter(should=list(stale))), *settling)

    async def _versions_to_replace(self, records: Sequence[DocumentRecord]) -> dict[str, list[str]]:
        points = [point_id(record.id) for record in records]
        fields = ["version", "replaces"]
        found = await self._calls.make(lambda: self._client.retrieve(self._collection, list(points), fields))
        present = {identifier_of(one.id): one.payload or {} for one in found}
        replaced = {
            record.id: versions_to_replace(present[record.id], record.version)
            for record in records
            if record.id in present
        }
        return {document: versions for document, versions in replaced.items() if versions}

    async def _scroll(
        self, wanted: models.Filter, *, limit: int, offset: models.ExtendedPointId | None = None, vectors: bool = False
    ) -> tuple[list[models.Record], models.ExtendedPointId | None]:
        with_vectors = [DENSE] if vectors else False
        return await self._calls.make(
            lambda: self._client.scroll(self._collection, wanted, limit, offset=offset, with_vectors=with_vectors)
        )

    async def _update(self, *operations: models.UpdateOperation) -> None:
        await self._calls.make(lambda: self._client.batch_update_points(self._collection, operations, wait=True))


def connected(config: QdrantConfig) -> AsyncQdrantClient:
    """A client of the server. Raises ConfigError for a url that is none."""
    if config.url == IN_MEMORY:
        return AsyncQdrantClient(IN_MEMORY)
    try:
        return AsyncQdrantClient(
            url=config.url,
            grpc_port=config.grpc_port,
            prefer_grpc=config.prefer_grpc,
            api_key=config.api_key.reveal() if config.api_key else None,
            timeout=math.ceil(config.timeout_s),
            check_compatibility=False,  # it would ask the server at once, and block
        )
    except ValueError as error:
        raise ConfigError(f"the url of the Qdrant server cannot be used: {config.url!r}", path="store.url") from error


def _upsert(points: Sequence[models.PointStruct]) -> models.UpsertOperation:
    return models.UpsertOperation(upsert=models.PointsList(points=list(points)))


def _delete(doomed: models.Filter) -> models.DeleteOperation:
    return models.DeleteOperation(delete=models.FilterSelector(filter=doomed))


def _clearing(documents: Sequence[IndexedDocument]) -> models.DeleteOperation:
    """Removes the chunks of all versions but these, whatever the records say."""
    others = [server_filter(other_chunks_of(each.record.id, each.record.version)) for each in documents]
    return _delete(models.Filter(should=list(others)))


def _settling(documents: Collection[str]) -> list[models.UpdateOperation]:
    """Marks the records as whole, once the chunks of the replaced versions are gone."""
    if not documents:
        return []
    whole = models.SetPayload(payload=WHOLE, points=[point_id(document) for document in documents])
    return [models.SetPayloadOperation(set_payload=whole)]


def _ranking(response: models.QueryResponse) -> Ranking[str]:
    return [(identifier_of(point.id), point.score) for point in response.points]
