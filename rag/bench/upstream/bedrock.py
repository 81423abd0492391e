"""Converse and ConverseStream as Bedrock sends them: binary messages with checksums; the usage follows the end."""

import struct
from typing import Any
from zlib import crc32

from rag.bench.upstream.asked import Asked
from rag.bench.upstream.script import Fault
from rag.bench.upstream.wire import Answer, Block, Refusal, encoded

_FINISHES = {"stop": "end_turn", "length": "max_tokens", "content_filter": "content_filtered", "tool": "tool_use"}
_FAULTS: dict[Fault, tuple[int, str, str]] = {
    "overloaded": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "rate_limit": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "quota": (429, "ThrottlingException", "Too many tokens per day, please wait before trying again."),
    "bad_key": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "forbidden": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "model_missing": (404, "ResourceNotFoundException", "Could not resolve the foundation model."),
    "context_length": (400, "ValidationException", "Input is too long for requested model."),
    "content_policy": (400, "ValidationException", "The request was blocked by the content filter."),
    "invalid_request": (400, "ValidationException", "Malformed input request."),
    "timeout": (408, "ModelTimeoutException", "The model did not respond in time."),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error."),
}
_STRING = b"\x07"


def message(kind: str, payload: dict[str, Any], message_type: str = "event") -> bytes:
    """A message as Bedrock sends it."""
    values = {f":{message_type}-type": kind, ":content-type": "application/json", ":message-type": message_type}
    return framed(encoded(payload), b"".join(string_header(name, value) for name, value in values.items()))


def framed(payload: bytes, headers: bytes = b"") -> bytes:
    """One message of AWS's event stream."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    frame = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return frame + struct.pack(">I", crc32(frame))


def string_header(name: str, value: str) -> bytes:
    """One header whose value is a string."""
    return struct.pack("B", len(name)) + name.encode() + _STRING + struct.pack(">H", len(value)) + value.encode()


class Bedrock:
    """The Converse API."""

    def content_type(self, asked: Asked) -> str:
        """See `Wire`."""
        return "application/vnd.amazon.eventstream" if asked.stream else "application/json"

    def opening(self, answer: Answer) -> bytes:
        """See `Wire`."""
        return message("messageStart", {"role": "assistant"})

    def open_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`. Only a tool call says that it begins."""
        block = answer.blocks[index]
        if block.kind != "tool":
            return b""
        start = {"toolUse": {"toolUseId": block.id, "name": block.name}}
        return message("contentBlockStart", {"contentBlockIndex": index, "start": start})

    def piece(self, answer: Answer, index: int, text: str) -> bytes:
        """See `Wire`."""
        delta: dict[str, Any]
        match answer.blocks[index].kind:
            case "text":
                delta = {"text": text}
            case "reasoning":
                delta = {"reasoningContent": {"text": text}}
            case "tool":
                delta = {"toolUse": {"input": text}}
        return message("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})

    def close_block(self, answer: Answer, index: int) -> bytes:
        """See `Wire`."""
        return message("contentBlockStop", {"contentBlockIndex": index})

    def closing(self, answer: Answer) -> bytes:
        """See `Wire`."""
        metadata = {"usage": _usage(answer), "metrics": {"latencyMs": 1}}
        stop = message("messageStop", {"stopReason": _FINISHES[answer.finish]})
        return stop + message("metadata", metadata)

    def whole(self, answer: Answer) -> bytes:
        """See `Wire`."""
        content = [_content(block) for block in answer.blocks]
        return encoded(
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": _FINISHES[answer.finish],
                "usage": _usage(answer),
                "metrics": {"latencyMs": 1},
            }
        )

    def refusal(self, asked: Asked, fault: Fault) -> Refusal:
        """See `Wire`."""
        status, kind, text = _FAULTS[fault]
        headers = (("x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"),)
        return Refusal(status=status, body=encoded({"message": text}), headers=headers)

    def failure(self, asked: Asked, fault: Fault) -> bytes:
        """See `Wire`. In a stream an exception's name begins small."""
        _, kind, text = _FAULTS[fault]
        return message(kind[0].lower() + kind[1:], {"message": text}, "exception")

    def garbage(self) -> bytes:
        """See `Wire`."""
        sound = message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "damaged"}})
        return sound[:-1] + bytes([sound[-1] ^ 0xFF])


def _content(block: Block) -> dict[str, Any]:
    match block.kind:
        case "text":
            return {"text": block.text}
        case "reasoning":
            return {"reasoningContent": {"reasoningText": {"text": block.text}}}
        case "tool":
            return {"toolUse": {"toolUseId": block.id, "name": block.name, "input": block.parsed}}


def _usage(answer: Answer) -> dict[str, int]:
    counts = answer.counts
    return {
        "inputTokens": counts.input - counts.cached,
        "cacheReadInputTokens": counts.cached,
        "cacheWriteInputTokens": 0,
        "outputTokens": counts.output,
        "totalTokens": counts.input + counts.output,
    }
