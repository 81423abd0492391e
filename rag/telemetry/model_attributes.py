"""What spans of prompts, routes and model calls say; see `rag.telemetry.attributes`."""

import json
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from rag.base.types import Finished, Prompt, Usage
from rag.telemetry.attributes import (
    FALLBACK,
    INPUT_TOKENS,
    OPERATION,
    OUTPUT_TOKENS,
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    SPAN_KIND,
    Peer,
    provider,
    server,
)
from rag.telemetry.content import MAX_DOCUMENTS, messages, shown
from rag.telemetry.spans import Attribute, Attributes, Reveal
from rag.telemetry.spent import Price


class Tried(Struct, frozen=True, kw_only=True):
    """One target of a route that was asked: what came of it, and why it was the one."""

    target: str
    outcome: str
    reason: str
    breaker: str
    is_hedge: bool
    candidates: tuple[str, ...]


class Call(Struct, kw_only=True):
    """One call of a chat model, as it becomes known."""

    peer: Peer
    model: str
    prompt: Prompt
    attempt: int = 0
    failed_over: tuple[str, str] | None = None
    """The model that failed before, and how."""
    text: list[str] = msgspec.field(default_factory=list)
    usage: Usage | None = None
    finished: Finished | None = None
    first_chunk_s: float | None = None


def rendered(prompt: Prompt, reveal: Reveal | None) -> Attributes:
    """The prompt as its template made it."""
    name, _, version = prompt.template.partition("#")
    known: dict[str, Attribute] = {
        "gen_ai.prompt.name": name,
        "gen_ai.prompt.version": version,
        SPAN_KIND: "PROMPT",
        "prompt.id": name,
        "llm.prompt_template.version": version,
        "rag.prompt.tokens_est": prompt.n_tokens,
        "rag.prompt.context_docs": len(prompt.sources),
        "rag.prompt.sha256": version,
    }
    if reveal:
        question, sources = shown(prompt.question, reveal), [shown(source.text, reveal) for source in prompt.sources]
        known["llm.prompt_template.variables"] = json.dumps({"question": question, "sources": sources[:MAX_DOCUMENTS]})
    return known


def route(name: str, tried: Sequence[Tried]) -> Attributes:
    """A prompt's way through a route, by the targets that were asked in turn; the last one answered, if any did."""
    known: dict[str, Attribute] = {SPAN_KIND: "CHAIN", "rag.route.policy": name, "rag.route.attempts": len(tried)}
    if not tried:
        return known
    failed = [one for one in tried if one.outcome not in ("ok", "cancelled")]
    answered = [one for one in tried if one.outcome == "ok"]
    known |= {
        "rag.route.candidates": tried[0].candidates,
        "rag.route.reason": tried[-1].reason,
        "rag.route.breaker.state": tried[-1].breaker,
        "rag.route.hedged": any(one.is_hedge for one in tried),
        FALLBACK: bool(failed and answered),
    }
    if answered:
        known["rag.route.selected"] = answered[-1].target
    if failed:
        known |= {"rag.route.fallback.from": failed[-1].target, "rag.route.fallback.reason": failed[-1].outcome}
    return known


def chat(call: Call, price: Price, reveal: Reveal | None) -> Attributes:
    """One call of a chat model, with all of its own retries."""
    prompt, usage, finished = call.prompt, call.usage, call.finished
    asked = _wishes(prompt)
    known: dict[str, Attribute] = {
        OPERATION: "chat",
        PROVIDER: provider(call.peer),
        REQUEST_MODEL: call.model,
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "text" if prompt.options.response_format == "text" else "json",
        **{f"gen_ai.request.{name}": value for name, value in asked.items()},
        "gen_ai.prompt.name": prompt.template.partition("#")[0],
        SPAN_KIND: "LLM",
        "llm.model_name": call.model,
        "llm.provider": provider(call.peer),
        "llm.system": provider(call.peer),
        "llm.invocation_parameters": json.dumps(asked),
        "rag.route.attempt": call.attempt,
        FALLBACK: call.failed_over is not None,
        **server(call.peer),
    }
    if call.failed_over is not None:
        known |= {"rag.route.fallback.from": call.failed_over[0], "rag.route.fallback.reason": call.failed_over[1]}
    if call.first_chunk_s is not None:
        known["gen_ai.response.time_to_first_chunk"] = call.first_chunk_s
    if usage is not None:
        known |= _usage(usage)
        cost_usd = price(usage)
        if cost_usd is not None:
            known |= {"gen_ai.usage.cost": cost_usd, "llm.cost.total": cost_usd}
    if finished is not None:
        known |= {
            "gen_ai.response.finish_reasons": (finished.reason,),
            "llm.finish_reason": finished.reason,
            RESPONSE_MODEL: finished.model,
        }
    return {**known, **messages(prompt.messages, "".join(call.text), reveal)} if reveal else known


def _wishes(prompt: Prompt) -> dict[str, Attribute]:
    """What the model was asked for, by GenAI's names; what was left to the provider is not told."""
    options = prompt.options
    wishes: dict[str, Attribute | None] = {
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "seed": options.seed,
        "stop_sequences": options.stop or None,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
        "reasoning.level": options.effort,
    }
    return {name: value for name, value in wishes.items() if value is not None}


def _usage(usage: Usage) -> Attributes:
    return {
        INPUT_TOKENS: usage.input_tokens,
        OUTPUT_TOKENS: usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "llm.token_count.prompt": usage.input_tokens,
        "llm.token_count.completion": usage.output_tokens,
        "llm.token_count.total": usage.input_tokens + usage.output_tokens,
        "llm.token_count.prompt_details.cache_read": usage.cached_tokens,
        "llm.token_count.prompt_details.cache_write": usage.cache_write_tokens,
        "llm.token_count.completion_details.reasoning": usage.reasoning_tokens,
    }
