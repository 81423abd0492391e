"""The recipe of indexing: drafts to documents, plan, chunks, vectors, store."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from threading import Event

import msgspec
from msgspec import Struct
from tokenizers import Tokenizer

from ingest.ahead import one_ahead
from ingest.chunk import chunk
from ingest.config import IngestConfig
from ingest.dedupe import hand_over, reference, release
from ingest.draft import Draft, document_of
from ingest.embed import BulkEmbedder, Chunked, Embedded, Sleep
from ingest.lookup import by_id, record_with, records_by
from ingest.near import NearDuplicateFinder, Nearness
from ingest.outcome import Failure, Outcome, Report, failed
from ingest.plan import Held, Step, plan, record_of
from rag.base.deadline import Clock, Deadline
from rag.base.errors import Forbidden, GroundwireError, IngestError, PermanentIngestError
from rag.base.ids import digest, document_id
from rag.base.ports import Embedder, IndexedDocument, PassageStore
from rag.base.types import Access, Chunk, Document, DocumentRecord, Filters, Work
from rag.govern.access import managed_in, permits

RECIPE = 1
"""To be raised when the same text gives other chunks or other vectors, so that every document is indexed again."""

Items = AsyncGenerator[Draft | Failure, None]
Progress = Callable[[Outcome], None]
Result = Outcome | GroundwireError
Key = tuple[str, str]
"""Id and version: one document may come twice in a run."""


class Window(Struct, frozen=True, kw_only=True):
    """Items of a run that are worked on together, and the chunks of those that will probably need them."""

    documents: Sequence[Document]
    failures: Sequence[Outcome]
    chunks: Mapping[Key, Chunked]


class Ready(Struct, frozen=True):
    """A document that can be stored."""

    embedded: Embedded
    nearness: Nearness


class Indexer:
    """Puts documents into a store. One per store and process: it is what keeps equal documents from racing.

    Between processes that write to one store at once, two equal documents may both keep chunks. That costs space and
    nothing else.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: PassageStore,
        tokenizer: Tokenizer,
        config: IngestConfig,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._tokenizer = tokenizer
        self._config = config
        self._clock = clock
        self._embedder = BulkEmbedder(embedder, config, sleep)
        self._near = NearDuplicateFinder(store, config.near_duplicates)
        self._writing = asyncio.Lock()
        self.recipe = digest(str(RECIPE), str(config.chunk_tokens), str(config.embed_headings), embedder.name)

    def document(self, draft: Draft, tenant: str) -> Document:
        """The document of a draft. Raises PermanentIngestError for one without text or with too much of it."""
        limit = self._config.max_text_chars
        if len(draft.text) > limit:
            reason = f"it holds {len(draft.text)} characters, and {limit} are allowed; split it or raise max_text_chars"
            raise PermanentIngestError(reason)
        document = document_of(draft, tenant, self.recipe)
        if not document.text.strip():
            raise PermanentIngestError("it holds no text")
        return document

    async def index(self, document: Document, work: Work, access: Access | None = None) -> Outcome:
        """Stores one document in place of its earlier version.

        Raises Forbidden when that one is not visible to `access`; IngestError, LoadError, DependencyError.
        """
        ((_, result),) = await self._settle([document], {}, lambda: work, access)
        if isinstance(result, GroundwireError):
            raise result
        return result

    async def remove(self, record: DocumentRecord) -> bool:
        """Deletes a document, after its duplicates have been made independent of it. Raises Unavailable."""
        async with self._writing:
            current = await record_with(self._store, record.tenant, record.id)
            if current and current.duplicate_of is None:
                await hand_over(self._store, current)
            return await self._store.delete(managed_in(record.tenant), by_id(record.id)) > 0

    async def remove_matching(self, access: Access, filters: Filters) -> int:
        """Deletes the documents that match, after duplicates that stay have been made independent of them."""
        async with self._writing:
            await release(self._store, access, filters)
            return await self._store.delete(access, filters)

    async def run(self, items: Items, tenant: str, progress: Progress | None = None) -> Report:
        """Indexes every item; a document that fails is reported and the others go on.

        Of equal documents the first is the original; of a document that comes twice the last one stands. Killed at
        any moment and run again it ends with the same content as an undisturbed run. Raises Unavailable when the
        store fails.
        """
        started_s = self._clock()
        report = Report()
        async with aclosing(one_ahead(self._windows(items, tenant))) as windows:
            async for window in windows:
                results = await self._settle(window.documents, window.chunks, lambda: self._bulk_work(tenant))
                outcomes = [
                    failed(document, document.id, result) if isinstance(result, GroundwireError) else result
                    for document, result in results
                ]
                for outcome in (*window.failures, *outcomes):
                    report.count(outcome)
                    if progress:
                        progress(outcome)
        report.seconds = self._clock() - started_s
        return report

    async def _windows(self, items: Items, tenant: str) -> AsyncGenerator[Window, None]:
        documents: list[Document] = []
        failures: list[Outcome] = []
        n_chars = 0
        async with aclosing(items):
            async for item in items:
                try:
                    documents.append(self._accepted(item, tenant))
                    n_chars += len(documents[-1].text)
                except IngestError as error:
                    failures.append(failed(item, document_id(tenant, item.uri), error))
                is_full = len(documents) + len(failures) >= self._config.window_documents
                if is_full or n_chars >= self._config.window_chars:
                    yield await self._window(documents, failures)
                    documents, failures, n_chars = [], [], 0
        yield await self._window(documents, failures)

    def _accepted(self, item: Draft | Failure, tenant: str) -> Document:
        if isinstance(item, Failure):
            raise item.error()
        return self.document(item, tenant)

    async def _window(self, documents: Sequence[Document], failures: Sequence[Outcome]) -> Window:
        """Chunks what has changed, while an earlier window is being embedded."""
        versions = {record.id: record.version for record in await self._records(documents)}
        changed = [document for document in documents if versions.get(document.id) != document.version]
        chunks = {_key(chunked.document): chunked for chunked in await self._chunked(changed)}
        return Window(documents=documents, failures=failures, chunks=chunks)

    async def _settle(
        self,
        documents: Sequence[Document],
        chunks: Mapping[Key, Chunked],
        new_work: Callable[[], Work],
        access: Access | None = None,
    ) -> list[tuple[Document, Result]]:
        """What became of each document, in no order.

        What to do is decided and done under one lock, and embedding, which is slow, happens outside of it: so the
        decision is made again until all that it needs is there.
        """
        waiting = list(documents)
        embedded: dict[Key, Ready] = {}
        results: list[tuple[Document, Result]] = []
        while waiting:
            async with self._writing:
                steps = plan(waiting, await self._held(waiting))
                _require_visible(steps, access)
                missing = [step for step in steps if step.needs_chunks and _key(step.document) not in embedded]
                if not missing:
                    results += await self._carry_out(steps, embedded)
                    waiting = waiting[len(steps) :]
                    continue
            made = await self._make(missing, chunks, new_work)
            embedded |= {key: each for key, each in made.items() if isinstance(each, Ready)}
            ended = {key: each for key, each in made.items() if not isinstance(each, Ready)}
            results += [(s.document, ended[_key(s.document)]) for s in missing if _key(s.document) in ended]
            waiting = [document for document in waiting if _key(document) not in ended]
        return results

    async def _make(
        self, steps: Sequence[Step], chunks: Mapping[Key, Chunked], new_work: Callable[[], Work]
    ) -> dict[Key, Ready | Result]:
        """What is to be stored for each step, or how it ended without."""
        found = await self._near.find([step.document for step in steps])
        near = {_key(step.document): each for step, each in zip(steps, found, strict=True)}
        left_out = [step for step in steps if step.old is None and self._near.is_left_out(near[_key(step.document)])]
        made: dict[Key, Ready | Result] = {
            _key(step.document): _skipped(step.document, near[_key(step.document)]) for step in left_out
        }
        wanted = [step.document for step in steps if _key(step.document) not in made]
        for key, result in (await self._embed(wanted, chunks, new_work)).items():
            made[key] = Ready(result, near[key]) if isinstance(result, Embedded) else result
        return made

    async def _held(self, documents: Sequence[Document]) -> Held:
        own = {record.id: record for record in await self._records(documents)}
        changed = [
            document
            for document in documents
            if document.id not in own
            or own[document.id].version != document.version
            or own[document.id].duplicate_of is not None
        ]
        if not changed:
            return Held(records=own, followed=frozenset())
        tenant = documents[0].tenant
        alike = await records_by(self._store, tenant, "content_hash", [document.content_hash for document in changed])
        originals = [each.id for each in changed if each.id in own and own[each.id].duplicate_of is None]
        followers = await records_by(self._store, tenant, "duplicate_of", originals)
        followed = frozenset(record.duplicate_of for record in followers if record.duplicate_of)
        return Held(records={record.id: record for record in alike} | own, followed=followed)

    async def _records(self, documents: Sequence[Document]) -> list[DocumentRecord]:
        if not documents:
            return []
        return await records_by(
            self._store, documents[0].tenant, "document_id", [document.id for document in documents]
        )

    async def _embed(
        self, documents: Sequence[Document], chunks: Mapping[Key, Chunked], new_work: Callable[[], Work]
    ) -> dict[Key, Embedded | GroundwireError]:
        unchunked = [document for document in documents if _key(document) not in chunks]
        made = {_key(chunked.document): chunked for chunked in await self._chunked(unchunked)}
        chunked = [chunks.get(_key(document)) or made[_key(document)] for document in documents]
        results = await self._embedder.embed(chunked, new_work)
        return {_key(document): results[document.id] for document in documents}

    async def _carry_out(self, steps: Sequence[Step], embedded: Mapping[Key, Ready]) -> list[tuple[Document, Result]]:
        for step in steps:
            if step.releases and step.old is not None:
                await hand_over(self._store, step.old)
        # Originals first: whatever happens in between, no stored duplicate refers to a document that is not there.
        errors = await self._put([_indexed(embedded[_key(step.document)]) for step in steps if step.needs_chunks])
        duplicates = [step for step in steps if step.action == "duplicate" and step.original]
        errors |= {step.document.id: errors[step.original] for step in duplicates if step.original in errors}
        errors |= await self._put(
            [
                reference(record_of(step.document), step.original)
                for step in duplicates
                if step.original and step.original not in errors
            ]
        )
        return [
            (step.document, errors.get(step.document.id) or _outcome(step, embedded.get(_key(step.document))))
            for step in steps
        ]

    async def _put(self, documents: Sequence[IndexedDocument]) -> dict[str, GroundwireError]:
        """Stores them; what went wrong by id, when the store refuses one for what it holds."""
        if not documents:
            return {}
        try:
            await self._store.put(documents)
        except IngestError as error:
            if len(documents) == 1:
                return {documents[0].record.id: error}
            parts = [await self._put([document]) for document in documents]
            return {identifier: each for part in parts for identifier, each in part.items()}
        return {}

    async def _chunked(self, documents: Sequence[Document]) -> list[Chunked]:
        """In a thread, which cannot be stopped and so must ask whether anybody still waits for it."""
        left = Event()

        def chunks(document: Document) -> tuple[Chunk, ...]:
            return () if left.is_set() else tuple(chunk(document, self._tokenizer, self._config, left.is_set))

        try:
            return await asyncio.to_thread(lambda: [Chunked(each, chunks(each)) for each in documents])
        finally:
            left.set()

    def _bulk_work(self, tenant: str) -> Work:
        deadline = Deadline.after(self._config.embed_timeout_s, self._clock)
        return Work(tenant=tenant, deadline=deadline, lane="bulk")


def _require_visible(steps: Sequence[Step], access: Access | None) -> None:
    for step in steps:
        if step.old and access and not permits(access, step.old.tenant, step.old.acl):
            raise Forbidden("this uri is taken by a document that your key may not see; use another uri or key")


def _key(document: Document) -> Key:
    return document.id, document.version


def _indexed(ready: Ready) -> IndexedDocument:
    made = ready.embedded
    record = msgspec.structs.replace(
        record_of(made.document),
        n_chunks=len(made.chunks),
        bands=ready.nearness.bands,
        near_duplicate_of=ready.nearness.near_duplicate_of,
    )
    return IndexedDocument(record=record, chunks=made.chunks, vectors=made.vectors)


def _skipped(document: Document, nearness: Nearness) -> Outcome:
    return Outcome(
        document_id=document.id,
        uri=document.uri,
        status="skipped",
        version=document.version,
        source=document.source,
        near_duplicate_of=nearness.near_duplicate_of,
    )


def _outcome(step: Step, ready: Ready | None) -> Outcome:
    document = step.document
    stored = ready.embedded if ready and step.needs_chunks else None
    unchanged = step.old.n_chunks if step.old and step.action == "unchanged" else 0
    return Outcome(
        document_id=document.id,
        uri=document.uri,
        status=step.action,
        version=document.version,
        n_chunks=len(stored.chunks) if stored else unchanged,
        n_tokens=sum(chunk.n_tokens for chunk in stored.chunks) if stored else 0,
        source=document.source,
        near_duplicate_of=ready.nearness.near_duplicate_of if ready and stored else None,
    )
