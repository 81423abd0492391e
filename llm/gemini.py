"""Google's generateContent, streamed: what is asked, and how the answer is read.

A blocked prompt is a success to HTTP: it shows in `promptFeedback` of an answer without candidates. The stream has no
last event; an answer is whole when a candidate says why it ended, and the counts come with that. Vertex AI speaks the
same wire under another `base_url`, to whoever brings a bearer token; one that is renewed would be an `endpoint.Sign`.
"""

from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Struct, UnsetType

from llm.completion import Completion, Ending, Piece
from llm.config import GeminiConfig
from llm.dialect import Dialect
from llm.endpoint import Endpoint
from llm.failures import WireError
from llm.sse import SseEvent, SseParser
from llm.turns import instructions_and_turns
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


class _Part(Struct, frozen=True, omit_defaults=True):
    text: str = ""
    thought: bool = False


class _Content(Struct, frozen=True, omit_defaults=True):
    parts: list[_Part] = []
    role: str | None = None


class _Generation(Struct, frozen=True, rename="camel"):
    max_output_tokens: int
    temperature: float | UnsetType = UNSET


class _Request(Struct, frozen=True, rename="camel"):
    contents: list[_Content]
    generation_config: _Generation
    system_instruction: _Content | UnsetType = UNSET


class _Candidate(Struct, frozen=True, rename="camel"):
    content: _Content = _Content()
    finish_reason: str | None = None


class _Feedback(Struct, frozen=True, rename="camel"):
    block_reason: str | None = None


class _Counts(Struct, frozen=True, rename="camel"):
    """The prompt's count holds what came from a cache; that of the candidates leaves out the thoughts."""

    prompt_token_count: int = 0
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

    def __init__(self, config: GeminiConfig) -> None:
        self.config = config
        path = f"/models/{quote(config.model, safe='')}:streamGenerateContent?alt=sse"
        key = {"x-goog-api-key": config.api_key} if config.api_key else {}
        self.endpoint = Endpoint(config, config.base_url.rstrip("/") + path, key)

    def body(self, prompt: Prompt, dialect: Dialect) -> bytes:
        """See `Wire`."""
        instructions, turns = instructions_and_turns(prompt)
        roles = {"assistant": "model"}
        request = _Request(
            contents=[_Content([_Part(turn.content)], roles.get(turn.role, turn.role)) for turn in turns],
            generation_config=_Generation(
                max_output_tokens=prompt.max_tokens,
                temperature=prompt.temperature if dialect.temperature else UNSET,
            ),
            system_instruction=_Content([_Part(instructions)]) if instructions else UNSET,
        )
        return msgspec.json.encode(request)

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
            self.usage = _usage(response.usage_metadata)
        if response.candidates:
            return self._take(response.candidates[0])
        if response.prompt_feedback and response.prompt_feedback.block_reason:
            self.fail(WireError(code=response.prompt_feedback.block_reason, type="content_filter"))
        return Piece()

    def _take(self, candidate: _Candidate) -> Piece:
        if candidate.finish_reason:
            self.ending = _ENDS.get(candidate.finish_reason, "error")  # what is not named here is no ordinary end
        parts = candidate.content.parts
        return Piece("".join(part.text for part in parts if not part.thought), any(part.text for part in parts))

    def _refuse(self, error: _Error, data: bytes) -> NoReturn:
        self.fail(_wire_error(error), retry_after_s({}, data, now_s=0.0))


def _usage(counts: _Counts) -> Usage:
    return Usage(
        input_tokens=counts.prompt_token_count + counts.tool_use_prompt_token_count,
        output_tokens=counts.candidates_token_count + counts.thoughts_token_count,
    )


def _wire_error(error: _Error) -> WireError:
    """The finest word there is. A quota per day shares its status with those per minute, and no wait mends it."""
    per_day = any("PerDay" in violation.quota_id for detail in error.details for violation in detail.violations)
    reason = next((detail.reason for detail in error.details if detail.reason), None)
    return WireError(
        message=error.message, type=error.status, code="quota_per_day" if per_day else reason or error.code
    )
