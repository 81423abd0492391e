"""The recipe: from a question to an answer with verified citations."""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace

from rag.base.answers import Answer, Answered, AnswerEvent, Lineage, SourcesFound
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, DependencyError, InvalidInput, LoadError, for_the_log
from rag.base.ports import ChatModel
from rag.base.stages import Stages
from rag.base.types import HISTORY_SUMMARY, Finished, ModelEvent, Prompt, Query, Source, TextDelta, Usage
from rag.pipeline.cite import CitationReader
from rag.pipeline.context import choose_context
from rag.pipeline.profile import Profile, Profiles
from rag.pipeline.prompt import render
from rag.pipeline.search import Found, Searcher

_log = logging.getLogger(__name__)

MAX_ANSWER_CHARS = 100_000
"""Longer than the 8,192 tokens that may be asked for: a model that writes on does not end by itself."""

EXTRACTIVE = "extractive"
"""The model that needs nothing: it answers where nothing was found and where the chosen one fails."""


class Prepared(Struct, frozen=True, kw_only=True):
    """A question with all that is needed to answer it."""

    model: ChatModel
    found: Found
    prompt: Prompt
    stages_s: Mapping[str, float]


class Answerer:
    """Answers questions. Safe to share between requests."""

    def __init__(
        self,
        searcher: Searcher,
        models: Mapping[str, ChatModel],
        profiles: Profiles,
        *,
        count: Callable[[str], int],
        index: str,
    ) -> None:
        self._searcher = searcher
        self._models = models
        self._profiles = profiles
        self._config = profiles.answer
        self._count = count
        self._index = index

    def recall(self, query: Query) -> Answer | None:
        """Nothing: nothing is kept here."""
        return None

    async def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer: what `prepare` finds, and what `write` makes of it."""
        async with aclosing(self.write(await self.prepare(query, deadline), deadline, stream=stream)) as events:
            async for event in events:
                yield event

    async def prepare(self, query: Query, deadline: Deadline) -> Prepared:
        """Searches and chooses the context: all that an answer depends on but the model's own turn of mind.

        Raises Overloaded, DeadlineExceeded, Unavailable and InvalidInput.
        """
        stages = Stages()
        model, profile = self._chosen(query)
        found = await self._searcher.search(query, deadline)
        with stages.stage("context"):
            sources = choose_context(found.candidates, profile.context_tokens)
            prompt = render(profile, query, sources, self._count)
        return Prepared(model=model, found=found, prompt=prompt, stages_s={**found.stages_s, **stages.seconds()})

    async def write(self, prepared: Prepared, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """SourcesFound, text and citations as they come, Usage, Answered.

        A stage that fails is named in the answer's `degraded`. With `stream` a model that fails after its first text
        raises DependencyError, because that text was already given out; without, nothing is given out before the model
        has ended, so the extractive answer can take its place. Raises also Overloaded and InvalidInput.
        """
        stages = Stages()
        prompt = prepared.prompt
        yield SourcesFound(sources=prompt.sources)
        writing = _Writing(prompt.sources)
        with stages.stage("generate"):
            async with aclosing(self._written(prompt, prepared.model, deadline, writing, stream=stream)) as events:
                async for event in events:
                    for out in writing.take(event):
                        yield out
        for out in writing.end():
            yield out
        answer = self._assembled(writing, prompt, prepared.found)
        yield Answered(answer=replace(answer, stages_s={**prepared.stages_s, **stages.seconds()}))

    def lineage_of(self, query: Query) -> Lineage:
        """What would make the answer, if nothing fails, of a question that is asked now.

        Raises InvalidInput for a model that is not there, or a prompt that may not be chosen.
        """
        model, profile = self._chosen(query)
        return self._lineage(self._searcher.embedder.name, model.name, profile.template.name)

    def lineage_from(self, prepared: Prepared) -> Lineage:
        """The same of a question that was prepared, whatever models and prompts have been exchanged meanwhile."""
        return self._lineage(prepared.found.embedder, prepared.model.name, prepared.prompt.template)

    def _lineage(self, embedder: str, model: str, template: str) -> Lineage:
        reranker = self._searcher.reranker.name
        return Lineage(index=self._index, embedder=embedder, reranker=reranker, model=model, template=template)

    def _chosen(self, query: Query) -> tuple[ChatModel, Profile]:
        name = query.model or self._config.model
        if name not in self._models:
            known = ", ".join(sorted(self._models))
            raise InvalidInput(f"there is no model '{name}'; this server has: {known}", pointer="/model")
        return self._models[name], self._profiles.of(name, query.prompt)

    async def _written(
        self, prompt: Prompt, model: ChatModel, deadline: Deadline, writing: "_Writing", *, stream: bool
    ) -> AsyncGenerator[ModelEvent, None]:
        """The chosen model's events, or the extractive one's where it must not or could not answer."""
        spare = self._models[EXTRACTIVE]
        if prompt.sources and model is not spare:
            try:
                async with aclosing(_events(model, prompt, deadline.share(self._config.model_share))) as events:
                    if stream:
                        async for event in events:
                            yield event
                    else:
                        for event in [event async for event in events]:
                            yield event
            except (DependencyError, LoadError) as error:
                if writing.began:
                    raise
                _log.warning("answered without the model: %s", for_the_log(error))
                writing.degraded = ("generate",)
            else:
                return
        async with aclosing(_events(spare, prompt, deadline)) as events:
            async for event in events:
                yield event

    def _assembled(self, writing: "_Writing", prompt: Prompt, found: Found) -> Answer:
        finished = writing.finished
        return Answer(
            text=writing.reader.text,
            citations=tuple(writing.reader.citations),
            sources=prompt.sources,
            usage=writing.usage,
            lineage=self._lineage(found.embedder, finished.model, prompt.template),
            stop_reason=finished.reason,
            confidence=finished.confidence,
            degraded=(*found.degraded, *writing.degraded),
            candidates=found.candidates,
        )


class _Writing:
    """The answer as it grows."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.reader = CitationReader(sources)
        self.began = False
        self.degraded: tuple[str, ...] = ()
        self.usage = Usage(input_tokens=0, output_tokens=0)
        self.finished = Finished(reason="stop", model="")

    def take(self, event: ModelEvent) -> list[AnswerEvent]:
        """What the reader of the answer gets to see of one event of the model."""
        match event:
            case TextDelta():
                self.began = self.began or bool(event.text.strip())
                return list(self.reader.feed(event.text))
            case Usage():
                self.usage = event
            case Finished():
                self.finished = event
                if HISTORY_SUMMARY in event.dropped:
                    self.degraded = (*self.degraded, HISTORY_SUMMARY)
        return []

    def end(self) -> list[AnswerEvent]:
        """The last events before the answer itself."""
        return [*self.reader.finish(), self.usage]


async def _events(model: ChatModel, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
    """The model's events; a stream that just stops is an error, not an answer, and so is one without a word.

    Models that think aloud use up `max_tokens` before their first word.
    """
    finished = wrote = False
    n_chars = 0
    stream = model.stream(prompt, deadline)
    try:
        async for event in stream:
            if isinstance(event, TextDelta):
                wrote = wrote or bool(event.text.strip())
                n_chars += len(event.text)
                if n_chars > MAX_ANSWER_CHARS:
                    raise BadDependency(f"the model '{model.name}' wrote over {MAX_ANSWER_CHARS} characters")
            if isinstance(event, Finished):
                finished = True
                wrote = wrote or event.reason == "content_filter"
            yield event
    finally:
        close = getattr(stream, "aclose", None)  # every async generator has it; an iterator need not
        if close:
            await close()
    if not finished:
        raise BadDependency(f"the model '{model.name}' stopped in the middle of its answer")
    if not wrote:
        raise BadDependency(f"the model '{model.name}' ended its answer without a word")
