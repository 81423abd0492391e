"""Google's generateContent, streamed: what is asked, and how the answer is read.

A blocked prompt is a success to HTTP: it shows in `promptFeedback` of an answer without candidates. The stream has no
last event; an answer is whole when a candidate says why it ended, and the counts come with that. Vertex AI speaks the
same wire under another address: see `vertex.py`.
"""

from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from llm.abilities import Ability
from llm.completion import Completion, Ending, Piece
from llm.config import GeminiConfig, VertexConfig
from llm.dialect import Dialect
from llm.endpoint import Endpoint
from llm.failures import WireError
from llm.gemini_request import SIGNED, generate_request
from llm.sse import SseEvent, SseParser
from llm.turns import new_call_id
from rag.base.chat import ToolCallDelta
from rag.base.errors import BadDependency
from rag.base.types import Prompt, Usage
from rag.infer.retry_after import retry_after_s

_ENDS: dict[str, Ending] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "tool",
    "UNEXPECTED_TOOL_CALL": "tool",
    "TOO_MANY_TOOL_CALLS": "tool",
}


class _FunctionCall(Struct, frozen=True):
    name: str = ""
    args: Raw = Raw(b"{}")
    id: str | None = None


class _Part(Struct, frozen=True, rename="camel"):
    text: str = ""
    thought: bool = False
    function_call: _FunctionCall | None = None
    thought_signature: str | None = None


class _Content(Struct, frozen=True):
    parts: list[_Part] = []


class _Candidate(Struct, frozen=True, rename="camel"):
    content: _Content = _Content()
    finish_reason: str | None = None


class _Feedback(Struct, frozen=True, rename="camel"):
    block_reason: str | None = None


class _Counts(Struct, frozen=True, rename="camel"):
    """The prompt's count holds what came from a cache; that of the candidates leaves out the thoughts."""

    prompt_token_count: int = 0
    cached_content_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    candidates_token_count: int = 0
    thoughts_token_count: int = 0


class _Violation(Struct, frozen=True, rename="camel"):
    quota_id: str = ""


class _Detail(Struct, frozen=True):
    """One of google.rpc's details: ErrorInfo has a reason, QuotaFailure has violations."""

    reason: str | None = None
    violations: list[_Violation] = []


class _Error(Struct, frozen=True):
    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[_Detail] = []


class _Response(Struct, frozen=True, rename="camel"):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Counts | None = None
    error: _Error | None = None


_responses = msgspec.json.Decoder(_Response)


class GeminiWire:
    """The wire behind `{base_url}/models/{model}:streamGenerateContent`."""

    lacks: frozenset[Ability] = frozenset({"image_urls", "image_detail", "parallel_tool_calls", "effort"})

    config: GeminiConfig | VertexConfig

    def __init__(self, config: GeminiConfig) -> None:
        self.config = config
        path = f"/models/{quote(config.model, safe='')}:streamGenerateContent?alt=sse"
        key = {"x-goog-api-key": config.api_key} if config.api_key else {}
        self.endpoint = Endpoint(config, config.base_url.rstrip("/") + path, key)

    def body(self, prompt: Prompt, dialect: Dialect) -> bytes:
        """See `Wire`."""
        return generate_request(self.config.model, prompt, dialect)

    def completion(self, target: str) -> "GeminiCompletion":
        """See `Wire`."""
        return GeminiCompletion(target, SseParser())

    def error(self, headers: Mapping[str, str], body: bytes) -> WireError:
        """See `Wire`."""
        try:
            return _wire_error(_responses.decode(body).error or _Error())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return WireError()


class GeminiCompletion(Completion[SseEvent]):
    """One answer in responses that each hold a piece of it, ended by the end of the stream."""

    def read(self, event: SseEvent) -> Piece:
        """See `Completion`."""
        try:
            response = _responses.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadDependency(f"{self._target} sent something that is not a piece of an answer") from error
        if response.error is not None:
            self._refuse(response.error, event.data)
        if response.usage_metadata is not None:
            self.usage = _usage(response.usage_metadata, self.usage)
        if response.candidates:
            return self._take(response.candidates[0])
        if response.prompt_feedback and response.prompt_feedback.block_reason:
            self.fail(WireError(code=response.prompt_feedback.block_reason, type="content_filter"))
        return Piece()

    def _take(self, candidate: _Candidate) -> Piece:
        if candidate.finish_reason:
            self.ending = _ENDS.get(candidate.finish_reason, "error")  # what is not named here is no ordinary end
        parts = candidate.content.parts
        calls = tuple(self._call(part, part.function_call) for part in parts if part.function_call)
        return Piece(
            text="".join(part.text for part in parts if not part.thought),
            is_progress=bool(calls) or any(part.text for part in parts),
            reasoning="".join(part.text for part in parts if part.thought),
            calls=calls,
        )

    def _call(self, part: _Part, call: _FunctionCall) -> ToolCallDelta:
        """A call comes whole. The signature, which this provider wants back with the call, travels in its id."""
        identifier = call.id or new_call_id()
        if part.thought_signature:
            identifier += SIGNED + part.thought_signature
        self.n_calls += 1
        return ToolCallDelta(
            index=self.n_calls - 1, id=identifier, name=call.name, arguments=bytes(call.args).decode() or "{}"
        )

    def _refuse(self, error: _Error, data: bytes) -> NoReturn:
        self.fail(_wire_error(error), retry_after_s({}, data, now_s=0.0))


def _usage(counts: _Counts, before: Usage | None) -> Usage:
    """What is counted so far. What came from a cache may be told once and not again."""
    return Usage(
        input_tokens=counts.prompt_token_count + counts.tool_use_prompt_token_count,
        output_tokens=counts.candidates_token_count + counts.thoughts_token_count,
        cached_tokens=counts.cached_content_token_count or (before.cached_tokens if before else 0),
        reasoning_tokens=counts.thoughts_token_count,
    )


def _wire_error(error: _Error) -> WireError:
    """The finest word there is. A quota per day shares its status with those per minute, and no wait mends it."""
    per_day = any("PerDay" in violation.quota_id for detail in error.details for violation in detail.violations)
    reason = next((detail.reason for detail in error.details if detail.reason), None)
    return WireError(
        message=error.message, type=error.status, code="quota_per_day" if per_day else reason or error.code
    )
