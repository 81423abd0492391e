"""generateContent as Google sends it: every event is a whole response, and none says that it is the last."""

from typing import Any

from rag.bench.upstream.asked import Asked
from rag.bench.upstream.script import Fault
from rag.bench.upstream.wire import Answer, Block, Refusal, encoded, event

_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY", "tool": "STOP"}
_FAULTS: dict[Fault, tuple[int, str, str]] = {
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    "bad_key": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "forbidden": (403, "PERMISSION_DENIED", "Permission denied."),
    "model_missing": (404, "NOT_FOUND", "The model is not found."),
    "context_length": (400, "INVALID_ARGUMENT", "The input token count (2000000) exceeds the maximum (1048576)."),
    "content_policy": (400, "FAILED_PRECONDITION", "The prompt was blocked."),
    "invalid_request": (400, "INVALID_ARGUMENT", "Invalid JSON payload received."),
    "timeout": (504, "DEADLINE_EXCEEDED", "The service is unable to finish processing within the deadline."),
    "server_error": (500, "INTERNAL", "An internal error has occurred."),
}
_RPC = "type.googleapis.com/google.rpc."


class Gemini:
    """The Gemini API, as server-sent events or, where those are not asked for, as an array of JSON."""

    def content_type(self, asked: Asked) -> str:
        """See `Wire`."""
        return "text/event-stream" if asked.stream and asked.sse else "application/json; charset=UTF-8"

    def opening(self, answer: Answer) -> bytes:
        """See `Wire`. Nothing in an event stream; the bracket of an array."""
        return b"" if answer.asked.sse else b"["

    def open_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`. A tool call comes whole, with its first token."""
        block = answer.blocks[index]
        return self._event(answer, _candidate([_part(block)])) if block.kind == "tool" else b""

    def piece(self, answer: Answer, index: int, text: str) -> bytes:
        """See `Wire`."""
        kind = answer.blocks[index].kind
        if kind == "tool":
            return b""
        return self._event(answer, _candidate([_part(Block(kind=kind, pieces=(text,)))]))

    def close_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`."""
        return b""

    def closing(self, answer: Answer) -> bytes:
        """See `Wire`."""
        last = _candidate([{"text": ""}]) | {"finishReason": _FINISHES[answer.finish]}
        if answer.asked.sse:
            return event(_response(answer, last))
        return encoded(_response(answer, last)) + b"]"

    def whole(self, answer: Answer) -> bytes:
        """See `Wire`."""
        parts = [_part(block) for block in answer.blocks] or [{"text": ""}]
        return encoded(_response(answer, _candidate(parts) | {"finishReason": _FINISHES[answer.finish]}))

    def refusal(self, asked: Asked, fault: Fault) -> Refusal:
        """See `Wire`. A prompt that is blocked is a success to HTTP."""
        if fault == "content_policy":
            blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}
            body = event(blocked) if asked.stream and asked.sse else encoded([blocked] if asked.stream else blocked)
            return Refusal(status=200, body=body, headers=(("content-type", self.content_type(asked)),))
        return Refusal(status=_FAULTS[fault][0], body=encoded(_error(fault)))

    def failure(self, asked: Asked, fault: Fault) -> bytes:
        """See `Wire`."""
        return event(_error(fault)) if asked.sse else encoded(_error(fault)) + b"]"

    def garbage(self) -> bytes:
        """See `Wire`."""
        return b'data: {"candidates": [{"content":\n\n'

    def _event(self, answer: Answer, candidate: dict[str, Any]) -> bytes:
        response = _response(answer, candidate)
        return event(response) if answer.asked.sse else encoded(response) + b",\r\n"


def _part(block: Block) -> dict[str, Any]:
    match block.kind:
        case "text":
            return {"text": block.text}
        case "reasoning":
            return {"text": block.text, "thought": True}
        case "tool":
            return {"functionCall": {"name": block.name, "args": block.parsed}}


def _candidate(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"content": {"parts": parts, "role": "model"}, "index": 0}


def _response(answer: Answer, candidate: dict[str, Any]) -> dict[str, Any]:
    """One response; only the last counts what it was answered with."""
    counts = answer.counts
    usage = {"promptTokenCount": counts.input, "cachedContentTokenCount": counts.cached}
    if "finishReason" in candidate:
        usage["candidatesTokenCount"] = counts.output - counts.reasoning
        usage["thoughtsTokenCount"] = counts.reasoning
        usage["totalTokenCount"] = counts.input + counts.output
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": answer.asked.model,
        "responseId": "simulated",
    }


def _error(fault: Fault) -> dict[str, Any]:
    status, name, message = _FAULTS[fault]
    return {"error": {"code": status, "message": message, "status": name, "details": _details(fault)}}


def _details(fault: Fault) -> list[dict[str, Any]]:
    if fault == "bad_key":
        return [{"@type": _RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
    if fault not in {"rate_limit", "quota"}:
        return []
    per = "PerDay" if fault == "quota" else "PerMinute"
    violation = {"quotaId": f"GenerateRequests{per}PerProjectPerModel", "quotaValue": "15"}
    return [
        {"@type": _RPC + "QuotaFailure", "violations": [violation]},
        {"@type": _RPC + "RetryInfo", "retryDelay": "1.5s"},
    ]
