"""Chat completions as OpenAI and Azure send them."""

from typing import Any

from rag.bench.upstream.asked import Asked
from rag.bench.upstream.script import Fault
from rag.bench.upstream.wire import Answer, Block, Refusal, encoded, event

_CREATED = 1_763_900_000
_FINISHES = {"stop": "stop", "length": "length", "content_filter": "content_filter", "tool": "tool_calls"}
_FAULTS: dict[Fault, tuple[int, str, str | None, str]] = {
    "overloaded": (503, "server_error", "server_is_overloaded", "The server is overloaded. Please try again later."),
    "rate_limit": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "bad_key": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "forbidden": (403, "invalid_request_error", "unsupported_country_region_territory", "Not available here."),
    "model_missing": (404, "invalid_request_error", "model_not_found", "The model does not exist."),
    "context_length": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens.",
    ),
    "content_policy": (400, "invalid_request_error", "content_policy_violation", "Your request was rejected."),
    "invalid_request": (400, "invalid_request_error", None, "Invalid value."),
    "timeout": (504, "server_error", None, "The request timed out."),
    "server_error": (500, "server_error", None, "The server had an error while processing your request."),
}
_UNFILTERED = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}


class OpenAI:
    """OpenAI's own."""

    def content_type(self, asked: Asked) -> str:
        """See `Wire`."""
        return "text/event-stream; charset=utf-8" if asked.stream else "application/json"

    def opening(self, answer: Answer) -> bytes:
        """See `Wire`."""
        return self._delta(answer, {"role": "assistant", "content": "", "refusal": None})

    def open_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`."""
        block = answer.blocks[index]
        if block.kind != "tool":
            return b""
        call = {"index": _place(answer, index), **_call(block, "")}
        return self._delta(answer, {"tool_calls": [call]})

    def piece(self, answer: Answer, index: int, text: str) -> bytes:
        """See `Wire`."""
        match answer.blocks[index].kind:
            case "text":
                return self._delta(answer, {"content": text})
            case "reasoning":
                return self._delta(answer, {"reasoning_content": text})
            case "tool":
                call = {"index": _place(answer, index), "function": {"arguments": text}}
                return self._delta(answer, {"tool_calls": [call]})

    def close_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`."""
        return b""

    def closing(self, answer: Answer) -> bytes:
        """See `Wire`."""
        last = self._delta(answer, {}, _FINISHES[answer.finish])
        if answer.asked.with_usage:
            last += event(_chunk(answer, []) | {"usage": _usage(answer)})
        return last + b"data: [DONE]\n\n"

    def whole(self, answer: Answer) -> bytes:
        """See `Wire`."""
        calls = [_call(block, block.text) for block in answer.blocks if block.kind == "tool"]
        text = "".join(block.text for block in answer.blocks if block.kind == "text")
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _FINISHES[answer.finish],
            **self._per_choice(),
        }
        whole = _chunk(answer, [choice]) | {"object": "chat.completion", "usage": _usage(answer)}
        return encoded(whole)

    def refusal(self, asked: Asked, fault: Fault) -> Refusal:
        """See `Wire`."""
        return Refusal(status=_FAULTS[fault][0], body=encoded(self._error(fault)))

    def failure(self, asked: Asked, fault: Fault) -> bytes:
        """See `Wire`."""
        return event(self._error(fault))

    def garbage(self) -> bytes:
        """See `Wire`."""
        return b'data: {"choices":[{"delta":{"content":\n\n'

    def _error(self, fault: Fault) -> dict[str, Any]:
        _, kind, code, message = _FAULTS[fault]
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def _per_choice(self) -> dict[str, Any]:
        return {}

    def _delta(self, answer: Answer, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **self._per_choice()}
        chunk = _chunk(answer, [choice])
        if answer.asked.with_usage:
            chunk["usage"] = None
        return event(chunk)


class Azure(OpenAI):
    """Azure's: with the findings of its filters, a first chunk without choices, and errors of its own."""

    def opening(self, answer: Answer) -> bytes:
        """See `Wire`."""
        found = {"prompt_index": 0, "content_filter_results": _UNFILTERED}
        blank = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [found]}
        return event(blank) + super().opening(answer)

    def refusal(self, asked: Asked, fault: Fault) -> Refusal:
        """See `Wire`."""
        headers = (("retry-after-ms", "1000"), ("retry-after", "1")) if fault == "rate_limit" else ()
        return Refusal(status=_FAULTS[fault][0], body=encoded(self._error(fault)), headers=headers)

    def _error(self, fault: Fault) -> dict[str, Any]:
        if fault == "content_policy":
            inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _UNFILTERED}
            error = {"message": "The response was filtered.", "type": None, "param": "prompt", "code": "content_filter"}
            return {"error": error | {"status": 400, "innererror": inner}}
        if fault == "rate_limit":
            return {"error": {"code": "429", "message": "Requests have exceeded the token rate limit."}}
        if fault == "bad_key":
            return {"error": {"code": "401", "message": "Access denied due to invalid subscription key."}}
        if fault == "model_missing":
            return {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}
        return super()._error(fault)

    def _per_choice(self) -> dict[str, Any]:
        return {"content_filter_results": {}}


def _chunk(answer: Answer, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-simulated",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": answer.asked.model,
        "system_fingerprint": "fp_simulated",
        "choices": choices,
    }


def _usage(answer: Answer) -> dict[str, Any]:
    counts = answer.counts
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": {"cached_tokens": counts.cached},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
    }


def _call(block: Block, arguments: str) -> dict[str, Any]:
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _place(answer: Answer, index: int) -> int:
    """The index of a tool call among the tool calls."""
    return sum(block.kind == "tool" for block in answer.blocks[:index])
