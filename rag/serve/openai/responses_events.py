"""An answer in the shape of OpenAI's Responses: its events as it is written."""

from typing import Any

import msgspec
from msgspec.structs import replace

from rag.base.answers import Answered, Citation
from rag.base.chat import ReasoningDelta, ToolCall, ToolCallDelta
from rag.base.types import Finished, TextDelta, Usage
from rag.serve.gateway.talk import TalkEvent
from rag.serve.openai.responses_reply import (
    CallItem,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    Response,
    SummaryText,
    annotations_of,
    call_item,
    ended,
)

_encode = msgspec.json.Encoder().encode


class ResponseWriter:
    """Encodes what is said as events. Of text and thoughts one item is open; calls stay so, as their pieces may mix."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._n_events = 0
        self._items: list[Item] = []
        self._open: MessageItem | ReasoningItem | None = None
        self._texts: list[str] = []
        self._calls: dict[int, int] = {}  # the item of each call
        self._citations: tuple[Citation, ...] = ()
        self._degraded: tuple[str, ...] = ()
        self._usage = Usage(input_tokens=0, output_tokens=0)

    def first(self) -> bytes:
        """The events that open the response. They are sent first, so their numbers are kept for them."""
        opening = {"response": self._response}
        return _event("response.created", 0, opening) + _event("response.in_progress", 1, opening)

    def write(self, event: TalkEvent) -> bytes:
        """The events of one event; empty for what is told at the end."""
        match event:
            case TextDelta():
                return self._say(event.text)
            case ReasoningDelta():
                return self._think(event.text)
            case ToolCallDelta():
                return self._call(event)
            case Usage():
                self._usage = event
            case Answered():
                self._citations, self._degraded = event.answer.citations, event.answer.degraded
            case Finished():
                return self._end(event)
        return b""

    def _say(self, text: str) -> bytes:
        opened = b""
        if not isinstance(self._open, MessageItem):
            item = MessageItem(id=f"msg_{self._response.id}_{len(self._items)}", status="in_progress")
            opened = self._opened(item)
            opened += self._told("response.content_part.added", content_index=0, part=OutputText(""))
        self._texts.append(text)
        return opened + self._told("response.output_text.delta", content_index=0, delta=text, logprobs=[])

    def _think(self, text: str) -> bytes:
        opened = b""
        if not isinstance(self._open, ReasoningItem):
            opened = self._opened(ReasoningItem(f"rs_{self._response.id}_{len(self._items)}"))
            opened += self._told("response.reasoning_summary_part.added", summary_index=0, part=SummaryText(""))
        self._texts.append(text)
        return opened + self._told("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def _call(self, event: ToolCallDelta) -> bytes:
        opened = b""
        if event.index not in self._calls:
            opened = self._closed()
            self._calls[event.index] = len(self._items)
            call = ToolCall(id=event.id, name=event.name, arguments="")
            opened += self._added(call_item(f"fc_{self._response.id}_{len(self._items)}", call, "in_progress"))
        if not event.arguments:
            return opened
        place = self._calls[event.index]
        item = self._items[place]
        assert isinstance(item, CallItem)
        self._items[place] = replace(item, arguments=item.arguments + event.arguments)
        return opened + self._told("response.function_call_arguments.delta", place, delta=event.arguments)

    def _opened(self, item: MessageItem | ReasoningItem) -> bytes:
        closed = self._closed()
        self._open = item
        return closed + self._added(item)

    def _added(self, item: Item) -> bytes:
        self._items.append(item)
        return self._numbered("response.output_item.added", output_index=len(self._items) - 1, item=item)

    def _closed(self) -> bytes:
        """Ends the item that is open, with all of its text."""
        item, text = self._open, "".join(self._texts)
        self._open, self._texts = None, []
        place = len(self._items) - 1
        match item:
            case MessageItem():
                return self._message_closed(item, place, text)
            case ReasoningItem():
                part = SummaryText(text)
                done = self._told("response.reasoning_summary_text.done", place, summary_index=0, text=text)
                done += self._told("response.reasoning_summary_part.done", place, summary_index=0, part=part)
                return done + self._done(place, replace(item, summary=(part,)))
            case _:
                return b""

    def _message_closed(self, item: MessageItem, place: int, text: str) -> bytes:
        part = OutputText(text, annotations_of(text, self._citations))
        told = b"".join(
            self._told(
                "response.output_text.annotation.added", place, content_index=0, annotation_index=number, annotation=one
            )
            for number, one in enumerate(part.annotations)
        )
        told += self._told("response.output_text.done", place, content_index=0, text=text, logprobs=[])
        told += self._told("response.content_part.done", place, content_index=0, part=part)
        return told + self._done(place, replace(item, status="completed", content=(part,)))

    def _done(self, place: int, item: Item) -> bytes:
        self._items[place] = item
        return self._numbered("response.output_item.done", output_index=place, item=item)

    def _calls_closed(self) -> bytes:
        told = b""
        for place in self._calls.values():
            item = self._items[place]
            assert isinstance(item, CallItem)
            whole = replace(item, arguments=item.arguments or "{}", status="completed")
            told += self._told("response.function_call_arguments.done", place, arguments=whole.arguments)
            told += self._done(place, whole)
        return told

    def _end(self, finished: Finished) -> bytes:
        closed = self._closed() + self._calls_closed()
        response = ended(self._response, self._items, self._usage, finished, self._degraded)
        return closed + self._numbered(f"response.{response.status}", response=response)

    def _told(self, kind: str, place: int | None = None, **members: Any) -> bytes:
        """An event of one item, by default the last."""
        place = len(self._items) - 1 if place is None else place
        return self._numbered(kind, item_id=self._items[place].id, output_index=place, **members)

    def _numbered(self, kind: str, **members: Any) -> bytes:
        self._n_events += 1
        return _event(kind, self._n_events + 1, members)


def _event(kind: str, number: int, members: dict[str, Any]) -> bytes:
    body = _encode({"type": kind, "sequence_number": number, **members})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)
