"""Whether a target is to be left alone: three states, moved by what its calls come to and by time.

closed: calls go out and are counted. open: none goes out. half-open: one at a time goes out, and what they come to
decides. After closing, the share of the traffic grows over `ramp_s`, so that a target that has just come up is not
knocked over by all that was waiting for it.
"""

from typing import Final, Literal

from llm.routing.config import RoutingConfig

State = Literal["closed", "half_open", "open"]
Verdict = Literal["ok", "slow", "failed", "void"]

RAMP_START: Final = 0.1
_N_BUCKETS = 10


class Breaker:
    """All times are given, on one clock that never goes back. Not for several threads."""

    def __init__(self, config: RoutingConfig) -> None:
        self._config = config
        self._era = 0  # a verdict on a call of an earlier era says nothing about this one
        self._opened_at_s: float | None = None
        self._closed_at_s = float("-inf")
        self._open_s = config.open_s
        self._n_probing = 0
        self._n_probed = 0
        self._n_in_a_row = 0
        self._window = _Window(config.window_s)

    def state(self, now_s: float) -> State:
        """The state at this time."""
        if self._opened_at_s is None:
            return "closed"
        return "open" if now_s < self._opened_at_s + self._open_s else "half_open"

    def admits(self, now_s: float) -> bool:
        """Whether a call may go out now."""
        state = self.state(now_s)
        return state == "closed" or (state == "half_open" and not self._n_probing)

    def admits_in_s(self, now_s: float) -> float:
        """How long until a call may go out; 0 also where that depends on a call that is out."""
        return 0.0 if self._opened_at_s is None else max(0.0, self._opened_at_s + self._open_s - now_s)

    def share(self, now_s: float) -> float:
        """The part of its usual traffic that it should get, in 0..1."""
        if self._opened_at_s is not None:
            return RAMP_START
        since_s = now_s - self._closed_at_s
        if since_s >= self._config.ramp_s:
            return 1.0
        return RAMP_START + (1 - RAMP_START) * since_s / self._config.ramp_s

    def began(self, now_s: float) -> int:
        """A call goes out; give the number back with its verdict."""
        if self.state(now_s) == "half_open":
            self._n_probing += 1
        return self._era

    def ended(self, era: int, now_s: float, verdict: Verdict) -> None:
        """What the call came to. `void`: nothing can be learnt from it."""
        if era != self._era:
            return
        if self._opened_at_s is not None:
            self._probed(now_s, verdict)
        elif verdict != "void":
            self._counted(now_s, verdict)

    def failed_late(self, now_s: float) -> None:
        """A call that had been fine broke after all."""
        if self._opened_at_s is None:
            self._counted(now_s, "failed")

    def _probed(self, now_s: float, verdict: Verdict) -> None:
        self._n_probing = 0
        if verdict == "failed":
            self._open(now_s, min(self._open_s * 2, self._config.max_open_s))
        elif verdict != "void":
            self._n_probed += 1
            if self._n_probed >= self._config.probes:
                self._close(now_s)

    def _counted(self, now_s: float, verdict: Verdict) -> None:
        self._n_in_a_row = self._n_in_a_row + 1 if verdict == "failed" else 0
        n, n_failed, n_slow = self._window.counted(now_s, failed=verdict == "failed", slow=verdict == "slow")
        config = self._config
        if self._n_in_a_row >= config.consecutive_failures or (
            n >= config.min_calls and (n_failed >= config.failure_share * n or n_slow >= config.slow_share * n)
        ):
            self._open(now_s, config.open_s)

    def _open(self, now_s: float, for_s: float) -> None:
        self._era += 1
        self._opened_at_s, self._open_s = now_s, for_s
        self._n_probing = self._n_probed = 0

    def _close(self, now_s: float) -> None:
        self._era += 1
        self._opened_at_s, self._open_s = None, self._config.open_s
        self._closed_at_s = now_s
        self._n_in_a_row = 0
        self._window = _Window(self._config.window_s)


class _Window:
    """Calls, failures and slow calls of about the last `window_s`, in buckets of a tenth of it."""

    def __init__(self, window_s: float) -> None:
        self._width_s = window_s / _N_BUCKETS
        self._buckets: dict[int, tuple[int, int, int]] = {}

    def counted(self, now_s: float, *, failed: bool, slow: bool) -> tuple[int, int, int]:
        """Counts one call; the sums over the window."""
        at = int(now_s // self._width_s)
        n, n_failed, n_slow = self._buckets.get(at, (0, 0, 0))
        self._buckets[at] = (n + 1, n_failed + failed, n_slow + slow)
        for old in [bucket for bucket in self._buckets if bucket <= at - _N_BUCKETS]:
            del self._buckets[old]
        sums = [sum(column) for column in zip(*self._buckets.values(), strict=True)]
        return sums[0], sums[1], sums[2]
