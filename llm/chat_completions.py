"""OpenAI's chat completions on the wire: what comes back from all who imitate it.

Everything that servers are known to leave out or to send as null has a default, and unknown fields are ignored:
vLLM, Ollama, llama.cpp, Mistral, OpenRouter and Azure each differ a little.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from llm.completion import Ending
from llm.failures import WireError
from rag.base.errors import BadDependency
from rag.base.types import Usage

_ENDS: dict[str, Ending] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "tool_calls": "tool",
    "tool_use": "tool",
    "function_call": "tool",
    "error": "error",
}


class ContentPart(Struct, frozen=True):
    """A piece of a content given as a list; pieces of other types (Mistral's "thinking") have no text."""

    type: str = "text"
    text: str = ""


class Called(Struct, frozen=True):
    """The function of a call. Arguments come in pieces of text; Ollama is known to send them as an object."""

    name: str | None = None
    arguments: object = None


class Call(Struct, frozen=True):
    """A piece of a call, or a whole one. Servers that give one call at a time may leave out the index."""

    index: int | None = None
    id: str | None = None
    function: Called = Called()


class Delta(Struct, frozen=True):
    """What one chunk adds, or the whole message where the server does not stream."""

    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning: object = None
    reasoning_content: object = None
    tool_calls: list[Call] | None = None

    @property
    def text(self) -> str:
        """The visible text of this piece: content, or the refusal that stands in its place."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content if part.type == "text")
        return self.content or self.refusal or ""

    @property
    def thought(self) -> str:
        """What the model thinks aloud: `reasoning_content` with DeepSeek and vLLM, `reasoning` with OpenRouter."""
        thought = self.reasoning_content or self.reasoning
        return thought if isinstance(thought, str) else ""

    @property
    def shows_work(self) -> bool:
        """Whether the model did something; a role-only delta is life cycle, not output."""
        return bool(self.content or self.refusal or self.reasoning or self.reasoning_content or self.tool_calls)


class Choice(Struct, frozen=True):
    """One of the answers; only the first is read, since only one is asked for."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class PromptDetails(Struct, frozen=True):
    """What of the prompt came from the provider's cache."""

    cached_tokens: int | None = None


class CompletionDetails(Struct, frozen=True):
    """What of the answer was thought and not said."""

    reasoning_tokens: int | None = None


class WireUsage(Struct, frozen=True):
    """Tokens as the server counted them. DeepSeek has a field of its own for what its cache held."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None

    def counted(self) -> Usage | None:
        """The usage; None while the server has not counted the answer."""
        if self.completion_tokens is None:
            return None
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None
        thought = self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else None
        return Usage(
            input_tokens=self.prompt_tokens or 0,
            output_tokens=self.completion_tokens,
            cached_tokens=cached or self.prompt_cache_hit_tokens or 0,
            reasoning_tokens=thought or 0,
        )


class Chunk(Struct, frozen=True):
    """One event of a stream, or the whole body where the server does not stream."""

    choices: list[Choice] | None = None
    usage: WireUsage | None = None
    error: WireError | str | None = None
    object: str | None = None
    message: str | None = None
    type: str | None = None
    code: str | int | None = None

    @property
    def failure(self) -> WireError | None:
        """The error that this chunk reports, in any of three spellings: an object, a string, vLLM's flat one."""
        if isinstance(self.error, str):
            return WireError(message=self.error)
        if self.error is None and self.object == "error":
            return WireError(message=self.message, type=self.type, code=self.code)
        return self.error


class _TextDelta(Struct, frozen=True):
    content: str
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: None = None


class _TextChoice(Struct, frozen=True):
    delta: _TextDelta
    finish_reason: None = None


class TextChunk(Struct, frozen=True):
    """A chunk that adds a text and says nothing else that anybody here wants to know."""

    choices: tuple[_TextChoice]
    object: Literal["chat.completion.chunk"] | None = None
    usage: None = None
    error: None = None


_chunks = msgspec.json.Decoder(Chunk)
text_chunk = msgspec.json.Decoder(TextChunk).decode
"""Reads a chunk that holds a text and nothing else, at a third of the cost of `read_chunk`; else as decoders raise."""


def read_chunk(data: bytes) -> Chunk:
    """The chunk in one event's data. Raises BadDependency for what is not one."""
    try:
        return _chunks.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadDependency("the model server sent something that is not a chat completion chunk") from error


def read_error(body: bytes) -> WireError:
    """The error that the body of a failed response tells of; empty when it tells of none."""
    try:
        return _chunks.decode(body).failure or WireError()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return WireError()


def ending(finish_reason: str) -> Ending:
    """What a server's word for the end means; a word that nobody knows is an ordinary end."""
    return _ENDS.get(finish_reason.lower(), "stop")
