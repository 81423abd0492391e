"""A script applied to a request: every byte of the response and when it comes. Pure, so that a run can be repeated."""

import re
from email.utils import formatdate
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from rag.bench.upstream.anthropic import Anthropic
from rag.bench.upstream.asked import Asked, WireName
from rag.bench.upstream.bedrock import Bedrock
from rag.bench.upstream.gemini import Gemini
from rag.bench.upstream.openai import Azure, OpenAI
from rag.bench.upstream.script import Damage, Ending, Fault, Finish, Script
from rag.bench.upstream.wire import Answer, Block, Counts, Refusal, Wire

WIRES: dict[WireName, Wire] = {
    "openai": OpenAI(),
    "azure": Azure(),
    "anthropic": Anthropic(),
    "gemini": Gemini(),
    "bedrock": Bedrock(),
}
BYTES_PER_TOKEN = 4

_HTML = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
)
_FAULT_OF_STATUS: dict[int, Fault] = {
    401: "bad_key",
    403: "forbidden",
    404: "model_missing",
    408: "timeout",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
_DATE = re.compile(r"date([+-]\d+)")


class Step(Struct, frozen=True):
    """Bytes that are sent at once, so many seconds after the request, and the tokens that are in them."""

    at_s: float
    data: bytes
    n_tokens: int = 0


class Performance(Struct, frozen=True, kw_only=True):
    """One response. `n_bytes` is its announced length, None for one in chunks."""

    status: int
    headers: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    counts: Counts
    ending: Ending = "clean"
    starts_s: float = 0.0
    n_bytes: int | None = None

    @property
    def is_instant(self) -> bool:
        """Whether all of it can be sent at once."""
        return self.ending in {"clean", "unfinished"} and all(step.at_s == 0.0 for step in self.steps)


@lru_cache(maxsize=4096)
def perform(asked: Asked, script: Script) -> Performance:
    """The response that the script has for the request, but for the dates in it (see `dated`)."""
    wire = WIRES[asked.wire]
    counts = _counts(asked, script, _blocks(asked, script)[0])
    fault = script.fault or _fault_of(script.status)
    if script.damage == "html":
        return _single(script, Refusal(status=script.status or 502, body=_HTML), "text/html", counts)
    if fault and not (script.in_stream and asked.stream):
        refusal = wire.refusal(asked, fault)
        status = script.status or refusal.status
        return _single(script, replace(refusal, status=status), "application/json", counts)
    content_type = "text/plain" if script.damage == "wrong_type" else wire.content_type(asked)
    steps = _streamed(asked, script, wire) if asked.stream else _whole(asked, script, wire)
    full = sum(len(step.data) for step in steps)
    if not asked.stream and script.ending in {"cut", "reset", "silence"}:
        steps = (replace(steps[0], data=steps[0].data[: full // 2], n_tokens=0),)
    return Performance(
        status=200,
        headers=(("content-type", content_type), *_wait_headers(script), *script.headers),
        steps=_cut(steps, script),
        counts=counts,
        ending=script.ending,
        starts_s=script.first_byte_s,
        n_bytes=None if asked.stream else full,
    )


def dated(headers: tuple[tuple[str, str], ...], unix_s: float) -> list[tuple[str, str]]:
    """The headers, with `date+30` as the date that it is now."""
    return [
        (name, formatdate(unix_s + int(match[1]), usegmt=True) if (match := _DATE.fullmatch(value)) else value)
        for name, value in headers
    ]


def _fault_of(status: int | None) -> Fault | None:
    if status is None or status < 400:
        return None
    return _FAULT_OF_STATUS.get(status, "server_error" if status >= 500 else "invalid_request")


def _single(script: Script, refusal: Refusal, content_type: str, counts: Counts) -> Performance:
    """A response that is no answer: it costs nothing."""
    given = dict(refusal.headers)
    headers = (("content-type", given.pop("content-type", content_type)), *given.items())
    kept = [pair for pair in headers if not (script.retry_after and pair[0].startswith("retry-after"))]
    steps = (Step(max(script.first_byte_s, script.first_token_s), _damaged(refusal.body, script.damage)),)
    return Performance(
        status=refusal.status,
        headers=(*kept, *_wait_headers(script), *script.headers),
        steps=_cut(steps, script),
        counts=counts,
        ending=script.ending,
        starts_s=script.first_byte_s,
        n_bytes=len(steps[0].data),
    )


def _wait_headers(script: Script) -> tuple[tuple[str, str], ...]:
    return (("retry-after", script.retry_after),) if script.retry_after else ()


def _blocks(asked: Asked, script: Script) -> tuple[tuple[Block, ...], Finish]:
    """What is said, at most as much as the request allows, and why it ends there."""
    reasoning = tuple(f"r{number % 100:02d} " for number in range(script.n_reasoning_tokens))
    words = tuple(re.findall(r"\s*\S+|\s+$", script.text)) if script.text is not None else ()
    if script.text is None and not script.tool_calls:
        words = tuple(f"w{number % 100:02d} " for number in range(script.n_tokens))
    calls = [
        Block(kind="tool", id=f"call_{number}", name=call.name, pieces=_pieces(call.arguments))
        for number, call in enumerate(script.tool_calls)
    ]
    every = [Block(kind="reasoning", pieces=reasoning), Block(kind="text", pieces=words), *calls]
    said = [block for block in every if block.pieces]
    finish = script.finish or ("tool" if calls else "stop")
    left = asked.max_tokens
    if left is None or left >= sum(len(block.pieces) for block in said):
        return tuple(said), finish
    shorter: list[Block] = []
    for block in said:
        if left > 0:
            shorter.append(replace(block, pieces=block.pieces[:left]))
        left -= len(block.pieces)
    return tuple(shorter), "length"


def _pieces(arguments: str) -> tuple[str, ...]:
    size = 2 * BYTES_PER_TOKEN
    return tuple(arguments[at : at + size] for at in range(0, len(arguments), size)) or ("",)


def _counts(asked: Asked, script: Script, blocks: tuple[Block, ...]) -> Counts:
    given = -(-asked.n_bytes // BYTES_PER_TOKEN) if script.input_tokens is None else script.input_tokens
    return Counts(
        input=given,
        cached=min(given, script.cached_tokens),
        output=sum(len(block.pieces) for block in blocks),
        reasoning=sum(len(block.pieces) for block in blocks if block.kind == "reasoning"),
    )


def _answer(asked: Asked, script: Script) -> Answer:
    blocks, finish = _blocks(asked, script)
    return Answer(asked=asked, blocks=blocks, finish=finish, counts=_counts(asked, script, blocks))


def _whole(asked: Asked, script: Script, wire: Wire) -> tuple[Step, ...]:
    answer = _answer(asked, script)
    at_s = _due_s(script, max(0, answer.counts.output - 1))
    return (Step(at_s, _damaged(wire.whole(answer), script.damage, script.ending), answer.counts.output),)


def _streamed(asked: Asked, script: Script, wire: Wire) -> tuple[Step, ...]:
    answer = _answer(asked, script)
    if script.damage in {"empty", "truncated"}:
        return (Step(script.first_byte_s, _damaged(wire.opening(answer), script.damage)),)
    frames = _frames(answer, wire)
    stops = len(frames) if script.after_tokens is None else min(script.after_tokens, len(frames))
    steps = [Step(script.first_byte_s, wire.opening(answer))]
    steps += [Step(_due_s(script, number), frames[number], 1) for number in range(stops)]
    last_s = steps[-1].at_s if stops else _due_s(script, 0)
    if script.damage == "garbled":
        steps.append(Step(last_s, wire.garbage()))
    if script.fault:
        steps.append(Step(last_s, wire.failure(asked, script.fault)))
    elif script.ending == "clean":
        steps.append(Step(last_s, wire.closing(answer)))
    elif script.ending == "cut":
        broken = frames[stops] if stops < len(frames) else wire.closing(answer)
        steps.append(Step(last_s, broken[: len(broken) // 2]))
    return tuple(steps)


def _frames(answer: Answer, wire: Wire) -> list[bytes]:
    """One for each token, with what opens and closes its block."""
    frames: list[bytes] = []
    for index, block in enumerate(answer.blocks):
        within = [wire.piece(answer, index, piece) for piece in block.pieces]
        within[0] = wire.open_block(answer, index) + within[0]
        within[-1] += wire.close_block(answer, index)
        frames += within
    return frames


def _due_s(script: Script, number: int) -> float:
    spacing_s = 1.0 / script.tokens_per_s if script.tokens_per_s else 0.0
    return max(script.first_byte_s, script.first_token_s) + number * spacing_s


def _damaged(body: bytes, damage: Damage | None, ending: Ending = "clean") -> bytes:
    if damage == "empty":
        return b""
    return body[: len(body) // 2] if damage in {"truncated", "garbled"} or ending == "unfinished" else body


def _cut(steps: tuple[Step, ...], script: Script) -> tuple[Step, ...]:
    """Half frames: the same bytes in pieces of `piece_bytes`, each `piece_s` after the one before at the earliest."""
    size = script.piece_bytes
    if not size:
        return tuple(step for step in steps if step.data or step.n_tokens)
    pieces: list[Step] = []
    for step in steps:
        at_s = max(step.at_s, pieces[-1].at_s + script.piece_s) if pieces else step.at_s
        for number, start in enumerate(range(0, len(step.data), size)):
            last = start + size >= len(step.data)
            data = step.data[start : start + size]
            pieces.append(Step(at_s + number * script.piece_s, data, step.n_tokens if last else 0))
    return tuple(pieces)
