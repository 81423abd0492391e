"""Every way in which a provider fails that we know of, as a script for the simulated one, and what has to follow.

`docs/faults.md` publishes this table. Each fault is played on each wire that can have it.
"""

from msgspec import Struct

from llm.routing.outcomes import Outcome
from rag.bench.upstream.asked import WireName
from rag.bench.upstream.performance import WIRES
from rag.bench.upstream.script import Script

ALL: tuple[WireName, ...] = tuple(WIRES)
OPENAI: tuple[WireName, ...] = ("openai", "azure")


class Fault(Struct, frozen=True, kw_only=True):
    """What a provider does, and the class that it has to be taken for; `per_wire` has the exceptions."""

    name: str
    script: Script
    outcome: Outcome
    wires: tuple[WireName, ...] = ALL
    per_wire: dict[WireName, Outcome] = {}

    def outcome_on(self, wire: WireName) -> Outcome:
        return self.per_wire.get(wire, self.outcome)


def refused(fault: str, outcome: Outcome, **more) -> Fault:
    return Fault(name=f"refuses: {fault}", script=Script(fault=fault), outcome=outcome, **more)


def in_stream(fault: str, outcome: Outcome, **more) -> Fault:
    script = Script(fault=fault, in_stream=True, after_tokens=0)
    return Fault(name=f"says in a stream that began with 200: {fault}", script=script, outcome=outcome, **more)


BEFORE: tuple[Fault, ...] = (
    refused("overloaded", "overload"),
    refused("rate_limit", "rate_limit"),
    refused("quota", "credentials"),
    refused("bad_key", "credentials"),
    refused("forbidden", "credentials"),
    refused("model_missing", "model_missing"),
    refused("timeout", "overload"),
    refused("server_error", "overload"),
    in_stream("overloaded", "overload"),
    in_stream("rate_limit", "rate_limit"),
    in_stream("quota", "credentials"),
    in_stream("server_error", "overload"),
    Fault(name="hangs up before it answers", script=Script(ending="hang_up"), outcome="connect"),
    Fault(name="never answers", script=Script(ending="mute"), outcome="timeout"),
    Fault(name="falls silent after the head", script=Script(ending="silence", after_tokens=0), outcome="timeout"),
    Fault(name="ends before the first word", script=Script(ending="unfinished", after_tokens=0), outcome="cut_off"),
    Fault(name="closes in a frame", script=Script(ending="cut", after_tokens=0), outcome="cut_off"),
    Fault(name="resets the connection", script=Script(ending="reset", after_tokens=0), outcome="cut_off"),
    Fault(name="sends an empty body", script=Script(damage="empty"), outcome="cut_off"),
    Fault(name="sends a frame that cannot be read", script=Script(damage="garbled", after_tokens=0), outcome="cut_off"),
    Fault(name="sends an HTML page with 502", script=Script(damage="html"), outcome="overload"),
    Fault(name="sends an HTML page with 200", script=Script(damage="html", status=200), outcome="cut_off"),
    Fault(name="ends well without a word", script=Script(n_tokens=0), outcome="empty"),
    Fault(name="sends its first word too late", script=Script(first_token_s=40.0), outcome="timeout"),
)
"""Faults before the first word: another target takes over, and nobody sees it."""

PROMPTS: tuple[Fault, ...] = (
    refused("context_length", "context_length"),
    refused("content_policy", "content_policy"),
    refused("invalid_request", "rejected"),
)
"""Refusals for which the prompt is at fault."""

AFTER: tuple[Fault, ...] = (
    *(
        Fault(
            name=f"says after some words: {fault}",
            script=Script(fault=fault, in_stream=True, after_tokens=2),
            outcome=outcome,
        )
        for fault, outcome in (("overloaded", "overload"), ("rate_limit", "rate_limit"), ("server_error", "overload"))
    ),
    *(
        Fault(name=f"after some words: {what}", script=Script(ending=ending, after_tokens=2), outcome=outcome)
        for what, ending, outcome in (
            ("the stream ends without its last frames", "unfinished", "cut_off"),
            ("the connection closes in a frame", "cut", "cut_off"),
            ("the connection is reset", "reset", "cut_off"),
            ("silence", "silence", "timeout"),
        )
    ),
    Fault(
        name="after some words: a frame that cannot be read",
        script=Script(damage="garbled", after_tokens=2),
        outcome="cut_off",
    ),
)
"""Faults after the first word: the caller gets an error, and never a clean end."""

HARMLESS: tuple[Fault, ...] = (
    Fault(name="sends byte by byte", script=Script(piece_bytes=1), outcome="ok"),
    Fault(name="sends a piece every 0.2 s", script=Script(piece_bytes=40, piece_s=0.2), outcome="ok"),
    Fault(name="thinks for long before it speaks", script=Script(n_reasoning_tokens=40, tokens_per_s=4), outcome="ok"),
)
"""What looks like a fault and is none."""

LIES: tuple[tuple[str, str, float], ...] = (
    ("says 2 s", "2", 2.0),
    ("says 0 s", "0", 1.0),
    ("says it in milliseconds", "ms:1500", 1.5),
    ("says a date in 3 s", "date+3", 3.0),
    ("says a date that is past", "date-3600", 1.0),
    ("says -5 s", "-5", 1.0),
    ("says NaN", "nan", 1.0),
    ("says nonsense", "soon", 1.0),
    ("says nothing", "", 1.0),
    ("says a day", "86400", 60.0),
)
"""What a rate limit says of when to come back, and for how many seconds the key is then left alone, at the least."""
