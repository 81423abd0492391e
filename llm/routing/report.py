"""What an attempt came to, for whoever counts, bills and traces."""

from collections.abc import Callable

from msgspec import Struct

from llm.routing.breaker import State
from llm.routing.decision import Decision
from llm.routing.outcomes import Outcome


class AttemptReport(Struct, frozen=True, kw_only=True):
    """One call of one target, when it is over. `key` is the label of a key, never the key.

    `first_output_s` and `total_s` count from the moment the call went out; the former is None when nothing came.
    `cancelled` is the outcome of a call whose caller left or that lost against another target (`is_hedge` marks the
    second of such a pair). The tokens are to be paid for either way: those of a call that did not end well are
    estimated, and 0 where the provider refused it. `failed_over_from` is the target that failed before it.
    """

    route: str
    target: str
    provider: str
    model: str
    key: str
    number: int
    outcome: Outcome
    status: int | None
    first_output_s: float | None
    total_s: float
    input_tokens: int
    output_tokens: int
    is_estimated: bool
    retry_after_s: float | None
    is_hedge: bool
    failed_over_from: str | None
    failed_over_for: Outcome | None
    breaker: State
    decision: Decision


OnAttempt = Callable[[AttemptReport], None]
