"""Who answers a prompt: a configured model, or the documents, which answer under model names of their own."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar, get_args

from cache.reply import Wish
from llm.abilities import Ability, left_out
from llm.extractive import NAME as EXTRACTIVE_NAME
from rag.base.answers import Answered, AnswerEvent, SourcesFound
from rag.base.deadline import Deadline
from rag.base.errors import Forbidden, InvalidInput, NotFound
from rag.base.types import Finished, ModelEvent, Principal, Prompt, Query, Turn
from rag.compose import Services
from rag.govern.allowance import permit_model
from rag.govern.limits import MAX_ANSWER_TOKENS, MAX_HISTORY_TURNS, MAX_QUESTION_CHARS, MAX_TURN_CHARS
from rag.pipeline.answer import EXTRACTIVE
from rag.serve.gateway.call import Call
from rag.serve.gateway.tasks import is_task
from rag.serve.headers import cache_headers

DOCUMENTS = "rag/"
DEFAULT = "default"

EventT = TypeVar("EventT")
TalkEvent = ModelEvent | AnswerEvent
"""What a model says, and, where the documents answer, from what and with which support. Finished is the last."""

_NOT_FROM_DOCUMENTS: frozenset[Ability] = frozenset(get_args(Ability))


def model_names(services: Services, principal: Principal) -> list[str]:
    """The names that the key may ask: models that write by themselves, then all of them over the documents."""
    allowed = [name for name in services.models if _may_ask(services, principal, name)]
    writers = [name for name in allowed if _writes(services, name)]
    default = [DOCUMENTS + DEFAULT] if services.default_model in allowed else []
    return [*writers, *default, *(DOCUMENTS + name for name in allowed)]


def talk(call: Call, model: str, prompt: Prompt, *, stream: bool, wish: Wish | None = None) -> AsyncIterator[TalkEvent]:
    """The answer as it comes. Raises NotFound for a name that nobody has, InvalidInput, and what models raise.

    What a chat program asks for itself (a title) goes to the model behind the documents, and past them. Without
    `stream` the documents hold their answer back until it is whole, so that a model that fails can be replaced.
    `wish` is what the caller wants of what is kept; without one a model is asked in any case.
    """
    services = call.services
    deadline = Deadline.after(services.limits.gateway_timeout_s)
    if not model.startswith(DOCUMENTS):
        if model not in services.models or not _writes(services, model):
            raise _unknown(model)
        replies = services.replies
        if wish is not None and replies is not None and replies.keeps(model):
            permit_model(services.book.of(call.principal.key_id), model)
            return _told(replies.answer(model, services.models[model], prompt, wish, deadline), call)
        return services.models[model].stream(prompt, deadline)
    name = model.removeprefix(DOCUMENTS)
    writer = services.default_model if name == DEFAULT else name
    if writer not in services.models:
        raise _unknown(model)
    if is_task(prompt) and _writes(services, writer):
        return services.models[writer].stream(prompt, deadline)
    dropped = left_out(prompt, _NOT_FROM_DOCUMENTS, f"'{model}', which answers from the documents,")
    if any(turn.role == "system" for turn in prompt.messages):
        dropped = ("system", *dropped)
    query = _query(prompt, call, None if name == DEFAULT else name, wish or Wish())
    within = Deadline.after(services.limits.request_timeout_s)
    return _from_documents(_told(services.answerer.answer(query, within, stream=stream), call), dropped)


async def _told(answer: AsyncGenerator[EventT, None], call: Call) -> AsyncGenerator[EventT, None]:
    """The events; the first one says whether they are from memory, which goes into the headers."""
    async with aclosing(answer) as events:
        async for event in events:
            if isinstance(event, SourcesFound):
                call.headers.update(cache_headers(event.cache))
            yield event


def check_model(call: Call, model: str) -> None:
    """Raises NotFound for a name that the key may not ask, or that nobody has."""
    if model not in model_names(call.services, call.principal):
        raise _unknown(model)


async def _from_documents(
    answer: AsyncGenerator[AnswerEvent, None], dropped: tuple[str, ...]
) -> AsyncGenerator[TalkEvent]:
    async with aclosing(answer) as events:
        async for event in events:
            yield event
            if isinstance(event, Answered):
                yield Finished(
                    reason=event.answer.stop_reason,
                    model=event.answer.lineage.model,
                    confidence=event.answer.confidence,
                    dropped=dropped,
                )


def _query(prompt: Prompt, call: Call, model: str | None, wish: Wish) -> Query:
    """The last thing the user said as a question, and what was said before as its history, as much as is read."""
    spoken = [turn for turn in prompt.messages if turn.role in ("user", "assistant")]
    if not spoken or spoken[-1].role != "user" or not spoken[-1].content.strip():
        raise InvalidInput("the last message must be the user's question", pointer="/messages")
    question = spoken[-1].content
    if len(question) > MAX_QUESTION_CHARS:
        message = f"the question has {len(question)} characters; the documents can be asked {MAX_QUESTION_CHARS}"
        raise InvalidInput(message, pointer=f"/messages/{len(prompt.messages) - 1}/content")
    history = [Turn(role=turn.role, content=turn.content[:MAX_TURN_CHARS]) for turn in spoken[:-1]]
    return Query(
        text=question,
        principal=call.principal,
        request_id=call.request_id,
        history=tuple(history[-MAX_HISTORY_TURNS:]),
        model=model,
        max_tokens=min(prompt.max_tokens, MAX_ANSWER_TOKENS) if prompt.max_tokens else None,
        temperature=prompt.temperature,
        cache=wish.mode,
        cache_max_age_s=wish.max_age_s,
        cache_min_similarity=wish.min_similarity,
    )


def _may_ask(services: Services, principal: Principal, name: str) -> bool:
    """As `rag.govern` decides when it is asked: the extractive model is everyone's."""
    try:
        permit_model(services.book.of(principal.key_id), name)
    except Forbidden:
        return name == EXTRACTIVE
    return True


def _writes(services: Services, name: str) -> bool:
    """Whether the model writes by itself; the extractive one only quotes documents."""
    return services.models[name].name != EXTRACTIVE_NAME


def _unknown(model: str) -> NotFound:
    return NotFound(f"there is no model '{model[:100]}' here; GET /v1/models lists what there is")
