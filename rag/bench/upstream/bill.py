"""What a simulated provider would charge for: the oracle of every ledger."""

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from rag.bench.upstream.asked import Asked
from rag.bench.upstream.performance import Performance

KEPT_LINES = 100_000


class Line(Struct, kw_only=True):
    """One request. Its input is charged once a token of the answer was sent or an answer without tokens ended well.

    `input_tokens` holds `cached_tokens`; `output_tokens` are those that were sent. `left`: the client went away before
    the end. `status` is None where no response began.
    """

    wire: str
    model: str
    key: str
    stream: bool
    status: int | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    left: bool = False
    is_open: bool = True


class Totals(Struct, kw_only=True):
    """Sums over requests that have ended."""

    n_requests: int = 0
    n_refused: int = 0
    n_left: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


class Bill:
    """The lines of the latest requests, in order of arrival, and the totals of all of them by model."""

    def __init__(self, kept_lines: int = KEPT_LINES) -> None:
        self.lines: deque[Line] = deque(maxlen=kept_lines)
        self.totals: dict[str, Totals] = {}
        self.n_open = 0

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def open(self, asked: Asked) -> Line:
        """A line for a request that has arrived."""
        line = Line(wire=asked.wire, model=asked.model, key=asked.key, stream=asked.stream)
        self.lines.append(line)
        self.n_open += 1
        return line

    def sent(self, line: Line, performance: Performance, n_tokens: int) -> None:
        """So many more tokens went out."""
        if n_tokens:
            line.output_tokens += n_tokens
            self._charge_input(line, performance)

    def close(self, line: Line, performance: Performance, *, left: bool = False) -> None:
        """The request has ended, or its client has left."""
        if not line.is_open:
            return
        line.is_open, line.left = False, left
        if not left and performance.status == 200 and performance.ending == "clean" and not performance.counts.output:
            self._charge_input(line, performance)
        self.n_open -= 1
        totals = self.totals.setdefault(line.model, Totals())
        totals.n_requests += 1
        totals.n_refused += line.status is not None and line.status != 200
        totals.n_left += left
        totals.input_tokens += line.input_tokens
        totals.cached_tokens += line.cached_tokens
        totals.output_tokens += line.output_tokens

    def clear(self) -> None:
        """Forgets what has ended; what is open still counts as open."""
        self.lines = deque((line for line in self.lines if line.is_open), maxlen=self.lines.maxlen)
        self.totals.clear()

    @staticmethod
    def _charge_input(line: Line, performance: Performance) -> None:
        line.input_tokens = performance.counts.input
        line.cached_tokens = performance.counts.cached
