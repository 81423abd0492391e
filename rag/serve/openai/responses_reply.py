"""An answer in the shape of OpenAI's Responses: the object that is the whole of it."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rag.base.answers import Citation
from rag.base.chat import ToolCall
from rag.base.types import Finished, Usage
from rag.serve.gateway.notes import Notes, notes_of
from rag.serve.gateway.said import Said, cites
from rag.serve.openai.responses_body import ResponsesBody

Status = Literal["in_progress", "completed", "incomplete"]
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class UrlCitation(Struct, frozen=True, tag_field="type", tag="url_citation"):
    """A document, and where in the answer its marker stands."""

    start_index: int
    end_index: int
    title: str
    url: str


class OutputText(Struct, frozen=True, tag_field="type", tag="output_text"):
    """What is said."""

    text: str
    annotations: tuple[UrlCitation, ...] = ()
    logprobs: tuple[()] = ()


class MessageItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """All that is said."""

    id: str
    status: Status
    content: tuple[OutputText, ...] = ()
    role: str = "assistant"


class SummaryText(Struct, frozen=True, tag_field="type", tag="summary_text"):
    """Thoughts."""

    text: str


class ReasoningItem(Struct, frozen=True, tag_field="type", tag="reasoning"):
    """All that is thought aloud."""

    id: str
    summary: tuple[SummaryText, ...] = ()


class CallItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """The call of a tool."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: Status


Item = MessageItem | ReasoningItem | CallItem


class _InputDetails(Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int


class _OutputDetails(Struct, frozen=True):
    reasoning_tokens: int


class _Usage(Struct, frozen=True, kw_only=True):
    input_tokens: int
    input_tokens_details: _InputDetails
    output_tokens: int
    output_tokens_details: _OutputDetails
    total_tokens: int


class _Incomplete(Struct, frozen=True):
    reason: str


class Response(Struct, frozen=True, kw_only=True):
    """The response. Of what was asked it repeats what clients insist on."""

    id: str
    object: str = "response"
    created_at: int
    status: Status = "in_progress"
    error: None = None
    incomplete_details: _Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = {}
    model: str
    output: tuple[Item, ...] = ()
    parallel_tool_calls: bool = True
    previous_response_id: None = None
    store: bool = False
    temperature: float | None = None
    tool_choice: str = "auto"
    tools: tuple[()] = ()
    top_p: float | None = None
    truncation: str = "disabled"
    usage: _Usage | None = None
    groundwire: Notes | UnsetType = UNSET


def begun(response_id: str, created_at: int, body: ResponsesBody) -> Response:
    """The response before anything is said."""
    return Response(
        id=response_id,
        created_at=created_at,
        model=body.model,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        temperature=body.temperature,
        top_p=body.top_p,
        tool_choice=body.tool_choice if isinstance(body.tool_choice, str) else "auto",
    )


def ended(
    response: Response, items: Sequence[Item], usage: Usage, finished: Finished, degraded: tuple[str, ...]
) -> Response:
    """The response with all that was said. One that was cut short says so, and why."""
    incomplete = _INCOMPLETE.get(finished.reason)
    return msgspec.structs.replace(
        response,
        status="incomplete" if incomplete else "completed",
        incomplete_details=_Incomplete(incomplete) if incomplete else None,
        output=tuple(items),
        usage=_usage(usage),
        groundwire=notes_of(finished.dropped, degraded),
    )


def items_of(response_id: str, said: Said) -> list[Item]:
    """What was thought, said and called, in this order."""
    items: list[Item] = []
    if said.reasoning:
        items.append(ReasoningItem(f"rs_{response_id}", (SummaryText(said.reasoning),)))
    if said.text:
        text = OutputText(said.text, annotations_of(said.text, said.citations))
        items.append(MessageItem(id=f"msg_{response_id}", status="completed", content=(text,)))
    return [*items, *(call_item(f"fc_{response_id}_{number}", call) for number, call in enumerate(said.calls))]


def call_item(item_id: str, call: ToolCall, status: Status = "completed") -> CallItem:
    """The call as an item."""
    return CallItem(id=item_id, call_id=call.id, name=call.name, arguments=call.arguments, status=status)


def annotations_of(text: str, citations: Sequence[Citation]) -> tuple[UrlCitation, ...]:
    """The citations as OpenAI tells of pages of the web."""
    return tuple(
        UrlCitation(cite.start, cite.stop, cite.citation.title, cite.citation.uri) for cite in cites(text, citations)
    )


def _usage(usage: Usage) -> _Usage:
    return _Usage(
        input_tokens=usage.input_tokens,
        input_tokens_details=_InputDetails(usage.cached_tokens, usage.cache_write_tokens),
        output_tokens=usage.output_tokens,
        output_tokens_details=_OutputDetails(usage.reasoning_tokens),
        total_tokens=usage.input_tokens + usage.output_tokens,
    )
