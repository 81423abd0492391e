"""The recipe of indexing: drafts to documents, plan, chunks, vectors, store."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Container, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from threading import Event

from msgspec import Struct
from tokenizers import Tokenizer

from ingest.ahead import ahead
from ingest.chunk import chunk
from ingest.config import IngestConfig
from ingest.dedupe import hand_over, reference, release
from ingest.draft import Draft, document_of
from ingest.embed import BulkEmbedder, Chunked, Embedded, Sleep
from ingest.lookup import by_id, record_with, records_by
from ingest.near import NearDuplicateFinder
from ingest.outcome import Failure, Outcome, Report, failed
from ingest.plan import Held, Step, plan, record_of
from ingest.ready import Key, Ready, carried_out, indexed, key_of, mirrored, skipped
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
Made = Mapping[Key, Embedded | GroundwireError]
"""Documents with their vectors, or what went wrong."""

WINDOWS_AHEAD = 2
"""Windows that are cut and embedded while an earlier one is stored: with one alone the embedder waits at its end."""


class Window(Struct, frozen=True):
    """Items of a run that are worked on together."""

    documents: Sequence[Document]
    failures: Sequence[Outcome]


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

    def makes(self, draft: Draft, record: DocumentRecord) -> bool:
        """Whether the draft would become the version that the record is of: the same chunks and the same vectors."""
        try:
            return self.document(draft, record.tenant).version == record.version
        except PermanentIngestError:
            return False

    async def put_as_they_are(self, documents: Sequence[IndexedDocument], there: Container[str]) -> list[Outcome]:
        """Stores documents of a store that this recipe filled; `there` holds the ids of which it has a version."""
        async with self._writing:
            errors = await self._put(documents)
        return [
            mirrored(each.record, errors.get(each.record.id), is_there=each.record.id in there) for each in documents
        ]

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
        work = partial(self._bulk_work, tenant)
        windows = ahead(self._windows(items, tenant), partial(self._made_ahead, new_work=work), WINDOWS_AHEAD)
        async with aclosing(windows):
            async for window, made in windows:
                results = await self._settle(window.documents, made, work)
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
                    yield Window(documents, failures)
                    documents, failures, n_chars = [], [], 0
        yield Window(documents, failures)

    def _accepted(self, item: Draft | Failure, tenant: str) -> Document:
        if isinstance(item, Failure):
            raise item.error()
        return self.document(item, tenant)

    async def _made_ahead(self, window: Window, new_work: Callable[[], Work]) -> tuple[Window, Made]:
        """The window with what storing it will probably need, as far as the store tells now.

        Nothing where near duplicates are left out, since nobody knows yet which need no vectors.
        """
        if not window.documents or self._config.near_duplicates == "skip":
            return window, {}
        steps = plan(window.documents, await self._held(window.documents))
        return window, await self._embed([step.document for step in steps if step.needs_chunks], new_work)

    async def _settle(
        self,
        documents: Sequence[Document],
        already: Made,
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
                missing = [step for step in steps if step.needs_chunks and key_of(step.document) not in embedded]
                if not missing:
                    results += await self._carry_out(steps, embedded)
                    waiting = waiting[len(steps) :]
                    continue
            made = await self._make(missing, already, new_work)
            embedded |= {key: each for key, each in made.items() if isinstance(each, Ready)}
            ended = {key: each for key, each in made.items() if not isinstance(each, Ready)}
            results += [(s.document, ended[key_of(s.document)]) for s in missing if key_of(s.document) in ended]
            waiting = [document for document in waiting if key_of(document) not in ended]
        return results

    async def _make(
        self, steps: Sequence[Step], already: Made, new_work: Callable[[], Work]
    ) -> dict[Key, Ready | Result]:
        """What is to be stored for each step, or how it ended without; `already` is what was made ahead."""
        found = await self._near.find([step.document for step in steps])
        near = {key_of(step.document): each for step, each in zip(steps, found, strict=True)}
        left_out = [step for step in steps if step.old is None and self._near.is_left_out(near[key_of(step.document)])]
        made: dict[Key, Ready | Result] = {
            key_of(step.document): skipped(step.document, near[key_of(step.document)]) for step in left_out
        }
        wanted = [step.document for step in steps if key_of(step.document) not in made]
        embedded = {key_of(each): already[key_of(each)] for each in wanted if key_of(each) in already}
        embedded |= await self._embed([each for each in wanted if key_of(each) not in embedded], new_work)
        for key, result in embedded.items():
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
        self, documents: Sequence[Document], new_work: Callable[[], Work]
    ) -> dict[Key, Embedded | GroundwireError]:
        if not documents:
            return {}
        results = await self._embedder.embed(await self._chunked(documents), new_work)
        return {key_of(document): results[document.id] for document in documents}

    async def _carry_out(self, steps: Sequence[Step], embedded: Mapping[Key, Ready]) -> list[tuple[Document, Result]]:
        for step in steps:
            if step.releases and step.old is not None:
                await hand_over(self._store, step.old)
        # Originals first: whatever happens in between, no stored duplicate refers to a document that is not there.
        errors = await self._put([indexed(embedded[key_of(step.document)]) for step in steps if step.needs_chunks])
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
            (step.document, errors.get(step.document.id) or carried_out(step, embedded.get(key_of(step.document))))
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
