"""From one generation of the index to the next while the server answers.

The next one is built from the texts of the present one beside it, catches up with what is written meanwhile, and takes
its place in one step: questions that are under way end where they began, and no vector meets those of another embedder.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from statistics import fmean
from typing import Final, Literal, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace

from ingest.config import IngestConfig
from ingest.library import Library
from ingest.outcome import Report
from ingest.pipeline import Indexer
from ingest.reindex import Copy
from rag.base.deadline import Deadline
from rag.base.errors import Conflict, GroundwireError, InvalidInput, PermanentIngestError, for_the_log
from rag.base.memory import give_back_freed
from rag.base.ports import PassageStore
from rag.base.types import Candidate, Work
from rag.generation import MAX_PASSES, Generation, copying_indexer
from rag.index.embedders.factory import Opened
from rag.index.embedders.shared import SharedEmbedder
from rag.pipeline.recent import DEPTH, Overlap, overlap
from rag.pipeline.search import Searcher
from rag.pipeline.space import Space
from rag.settings import Settings

TIMEOUT_S: Final = 60.0
"""For embedding the recent questions."""

Writing = Callable[[Generation, IngestConfig], tuple[Indexer, PassageStore]]
"""How documents get into a generation: an indexer, and the store that it puts into."""

State = Literal["idle", "copying", "optimizing", "comparing", "stepping over", "done", "failed", "stopped"]

_log = logging.getLogger(__name__)


class Wish(Struct, frozen=True, kw_only=True):
    """What the next generation is to be, and on which terms it takes over.

    Without `opens_embedder` it embeds with what the present one does, whatever the settings say.
    """

    settings: Settings
    opens_embedder: bool = True
    documents_per_s: float | None = None
    """At most so many are copied in a second."""
    min_overlap: float = 0.0
    """Of recent questions; with less the present generation stays."""
    keeps_previous: bool = True


class Standing(Struct, frozen=True, kw_only=True):
    """How far the last succession has come. `documents` is how many there were to copy when it began."""

    state: State = "idle"
    embedder: str = ""
    documents: int = 0
    copied: int = 0
    deleted: int = 0
    chunks: int = 0
    overlap: Overlap | None = None
    reason: str = ""


class Nursery(Protocol):
    """Where the next generation grows; `rag.generation` has the one in use."""

    def opened(self, settings: Settings, readers: Opened | None) -> AbstractAsyncContextManager[Generation]:
        """The next generation by those settings, with what an earlier run left of it; `readers` embed for it."""
        ...

    async def optimize(self) -> None:
        """Builds the search index of the next generation, which must be closed."""
        ...

    async def adopt(self) -> None:
        """Makes the next generation the one that is opened from now on."""
        ...

    async def outlast_writers(self) -> bool:
        """Returns when no other process writes to the one before; whether any may have since `adopt`."""
        ...

    async def discard_previous(self) -> None:
        """Removes the one before, which is closed."""
        ...


class Succession:
    """The generation in use, and the way to the next. Use as a context manager; for one event loop.

    One succession at a time; whoever asked for it may leave.
    """

    def __init__(
        self,
        present: Generation,
        settings: Settings,
        nursery: Nursery,
        searcher: Searcher,
        library: Library,
        writing: Writing,
    ) -> None:
        self.present = present
        self.settings = settings
        """Those that the present generation was built by."""
        self.standing = Standing()
        self._nursery = nursery
        self._searcher = searcher
        self.library = library
        self._writing = writing
        self._task: asyncio.Task[None] | None = None
        self._adopted = AsyncExitStack()
        """What stays open to the end: whoever embeds for itself may still use the embedders of earlier generations."""
        self._passing = AsyncExitStack()
        """What the present generation can be closed with, when it has an embedder from before."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._passing.aclose()
        await self._adopted.aclose()

    async def n_documents(self) -> int:
        """How many documents the present generation holds, whoever may see them."""
        return await self.present.store.n_documents()

    def start(self, wish: Wish) -> None:
        """Begins to build the next generation. Raises Conflict while one is being built."""
        if self._task and not self._task.done():
            raise Conflict("the index is being built anew already; wait for it or stop it")
        self.standing = Standing(state="copying")
        self._task = asyncio.create_task(self._watched(wish))

    async def stop(self) -> None:
        """Ends a succession that is under way; another one goes on where it was. The last step is not interrupted."""
        if self._task and not self._task.done():
            if self.standing.state != "stepping over":
                self._task.cancel()
            await asyncio.wait({self._task})

    async def ended(self) -> Standing:
        """How it came out, when it has."""
        if self._task:
            await asyncio.wait({self._task})
        return self.standing

    async def _watched(self, wish: Wish) -> None:
        before = self.present
        try:
            await self._succeed(wish)
        except asyncio.CancelledError:
            self._note(state="stopped")
            raise
        except GroundwireError as error:
            self._note(state="failed", reason=str(error))
            _log.error("%s: %s", self._left_by_failure(before), for_the_log(error))
        except Exception as error:  # noqa: BLE001 - the seam: the server goes on with what it has
            self._note(state="failed", reason=f"building the next index failed with {type(error).__name__}")
            _log.exception("%s", self._left_by_failure(before))
        else:
            self._note(state="done")

    def _left_by_failure(self, before: Generation) -> str:
        is_new = self.present is not before
        return "the next index is in use, and not all is done" if is_new else "the index stays as it was"

    def _note(self, **changed: object) -> None:
        self.standing = replace(self.standing, **changed)

    async def _succeed(self, wish: Wish) -> None:
        previous = self.present
        readers = None if wish.opens_embedder else (previous.embedder, previous.tokenizer)
        copy = Copy(previous.store, documents_per_s=wish.documents_per_s)
        async with self._nursery.opened(wish.settings, readers) as following:
            self._note(embedder=following.embedder.name, documents=await previous.store.n_documents())
            await self._catch_up(copy, following, wish)
        self._note(state="optimizing")
        await self._nursery.optimize()  # also when nothing was copied: an earlier run may have ended before this
        async with AsyncExitStack() as opened:
            following = await opened.enter_async_context(self._nursery.opened(wish.settings, readers))
            await self._catch_up_until_quiet(copy, following, wish)
            self._note(state="comparing", overlap=await self._compared(following))
            self._require_likeness(wish.min_overlap)
            async with self.library.still():
                await self._catch_up(copy, following, wish)
                self._note(state="stepping over")
                await self._nursery.adopt()
                space = self._step_over(following, wish.settings)
                passing, self._passing = self._passing, opened.pop_all()
                if wish.opens_embedder:
                    self._adopted.push_async_exit(self._passing.pop_all())
        try:
            if await self._nursery.outlast_writers():
                await self._catch_up(copy, following, wish)
        finally:
            await space.left()
            await previous.retire()
            await passing.aclose()
            await asyncio.to_thread(give_back_freed)
        if not wish.keeps_previous:
            await self._nursery.discard_previous()

    async def _catch_up_until_quiet(self, copy: Copy, following: Generation, wish: Wish) -> None:
        for _ in range(MAX_PASSES):
            epoch = self.present.store.epoch
            await self._catch_up(copy, following, wish)
            if self.present.store.epoch == epoch:
                return

    async def _catch_up(self, copy: Copy, following: Generation, wish: Wish) -> Report:
        """Raises PermanentIngestError when a document cannot be indexed: the next generation must hold them all."""
        config = wish.settings.ingest
        indexer = copying_indexer(following.embedder, following.store, following.tokenizer, config)
        report = await copy.catch_up(following.store, indexer, lambda _: self._note(copied=self.standing.copied + 1))
        if report.failed:
            reason = f"{report.failed} documents could not be indexed, the first because {report.failures[0].reason}"
            raise PermanentIngestError(reason)
        self._note(deleted=self.standing.deleted + report.deleted, chunks=self.standing.chunks + report.chunks)
        return report

    async def _compared(self, following: Generation) -> Overlap:
        """Asks both generations what was asked last, without anyone waiting for it.

        Left out are questions that filter by a field that only one of them knows.
        """
        asked = [replace(request, limit=DEPTH) for request in self.present.recent.asked]
        if not asked:
            return Overlap(questions=0, overlap_10=None)
        work = Work(tenant=asked[0].access.tenant, deadline=Deadline.after(TIMEOUT_S), lane="bulk")
        vectors = await following.embedder.embed([request.text for request in asked], "query", work)
        again = [replace(request, vector=vector) for request, vector in zip(asked, vectors, strict=True)]
        old, new = await self.present.store.search_batch(asked), await following.store.search_batch(again)
        pairs = [pair for pair in zip(old, new, strict=True) if not any(isinstance(one, InvalidInput) for one in pair)]
        shares = [overlap(_found(one), _found(other)) for one, other in pairs]
        return Overlap(questions=len(pairs), overlap_10=fmean(shares) if shares else None)

    def _require_likeness(self, least: float) -> None:
        found = self.standing.overlap.overlap_10 if self.standing.overlap else None
        if found is not None and found < least:
            raise Conflict(
                f"the next index finds {found:.0%} of what the present one finds for recent questions, and {least:.0%} "
                "were asked for"
            )

    def _step_over(self, following: Generation, settings: Settings) -> Space:
        """One step: nothing is awaited here. Returns the space in which earlier questions still are."""
        self.library.exchange(*self._writing(following, settings.ingest))
        space = self._searcher.exchange(Space(SharedEmbedder(following.embedder), following.retriever))
        self.present, self.settings = following, settings
        return space


def _found(outcome: list[Candidate] | GroundwireError) -> list[Candidate]:
    if isinstance(outcome, GroundwireError):
        raise outcome
    return outcome
