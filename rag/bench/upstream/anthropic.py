"""Messages as Anthropic sends them. `input_tokens` leaves out what came from the cache."""

from typing import Any

from rag.bench.upstream.asked import Asked
from rag.bench.upstream.script import Fault
from rag.bench.upstream.wire import Answer, Block, Refusal, encoded, event

_FINISHES = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool": "tool_use"}
_FAULTS: dict[Fault, tuple[int, str, str]] = {
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "rate_limit": (429, "rate_limit_error", "This request would exceed your account's rate limit."),
    "quota": (429, "rate_limit_error", "You have reached your spend limit."),
    "bad_key": (401, "authentication_error", "invalid x-api-key"),
    "forbidden": (403, "permission_error", "Your API key does not have permission to use this resource."),
    "model_missing": (404, "not_found_error", "model not found"),
    "context_length": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "content_policy": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "invalid_request": (400, "invalid_request_error", "messages: at least one message is required"),
    "timeout": (504, "timeout_error", "Request timed out"),
    "server_error": (500, "api_error", "Internal server error"),
}


class Anthropic:
    """The Messages API."""

    def content_type(self, asked: Asked) -> str:
        """See `Wire`."""
        return "text/event-stream; charset=utf-8" if asked.stream else "application/json"

    def opening(self, answer: Answer) -> bytes:
        """See `Wire`."""
        usage = _input(answer) | {"output_tokens": 1}
        message = _message(answer) | {"content": [], "stop_reason": None, "usage": usage}
        return _named("message_start", message=message) + _named("ping")

    def open_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`."""
        blank = _content(Block(kind=answer.blocks[index].kind, pieces=()))
        if answer.blocks[index].kind == "tool":
            blank |= {"id": answer.blocks[index].id, "name": answer.blocks[index].name}
        return _named("content_block_start", index=index, content_block=blank)

    def piece(self, answer: Answer, index: int, text: str) -> bytes:
        """See `Wire`."""
        match answer.blocks[index].kind:
            case "text":
                delta = {"type": "text_delta", "text": text}
            case "reasoning":
                delta = {"type": "thinking_delta", "thinking": text}
            case "tool":
                delta = {"type": "input_json_delta", "partial_json": text}
        return _named("content_block_delta", index=index, delta=delta)

    def close_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`."""
        signed = b""
        if answer.blocks[index].kind == "reasoning":
            delta = {"type": "signature_delta", "signature": "c2lnbmVk"}
            signed = _named("content_block_delta", index=index, delta=delta)
        return signed + _named("content_block_stop", index=index)

    def closing(self, answer: Answer) -> bytes:
        """See `Wire`."""
        delta = {"stop_reason": _FINISHES[answer.finish], "stop_sequence": None}
        usage = {"output_tokens": answer.counts.output}
        return _named("message_delta", delta=delta, usage=usage) + _named("message_stop")

    def whole(self, answer: Answer) -> bytes:
        """See `Wire`."""
        content = [_content(block) for block in answer.blocks]
        usage = _input(answer) | {"output_tokens": answer.counts.output}
        stop = {"stop_reason": _FINISHES[answer.finish], "usage": usage}
        return encoded(_message(answer) | {"content": content} | stop)

    def refusal(self, asked: Asked, fault: Fault) -> Refusal:
        """See `Wire`."""
        return Refusal(status=_FAULTS[fault][0], body=encoded(_error(fault)))

    def failure(self, asked: Asked, fault: Fault) -> bytes:
        """See `Wire`."""
        return event(_error(fault), "error")

    def garbage(self) -> bytes:
        """See `Wire`."""
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":\n\n'


def _named(kind: str, **fields: Any) -> bytes:
    return event({"type": kind} | fields, kind)


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": "msg_simulated",
        "type": "message",
        "role": "assistant",
        "model": answer.asked.model,
        "stop_sequence": None,
    }


def _content(block: Block) -> dict[str, Any]:
    match block.kind:
        case "text":
            return {"type": "text", "text": block.text}
        case "reasoning":
            return {"type": "thinking", "thinking": block.text, "signature": ""}
        case "tool":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.parsed}


def _input(answer: Answer) -> dict[str, Any]:
    counts = answer.counts
    return {
        "input_tokens": counts.input - counts.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": counts.cached,
    }


def _error(fault: Fault) -> dict[str, Any]:
    _, kind, message = _FAULTS[fault]
    error: dict[str, Any] = {"type": kind, "message": message}
    if fault == "quota":
        error["details"] = {"error_code": "enforced_spend_limit_reached"}
    return {"type": "error", "error": error, "request_id": "req_simulated"}
