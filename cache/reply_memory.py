"""Kept replies in this process, the least recently used out first."""

import time

from cache.reply import Reply
from rag.base.deadline import Clock


class ReplyMemory:
    """Holds at most `max_bytes` of replies. For one event loop. `clock` is the time of day in seconds."""

    def __init__(self, max_bytes: int, clock: Clock = time.time) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: dict[bytes, Reply] = {}  # by the whole request: no digest stands for it
        self.n_bytes = 0

    def get(self, request: bytes, max_age_s: float | None = None) -> Reply | None:
        """The reply to the request, if it is not too old; `max_age_s` makes its time shorter for this one look."""
        reply = self._kept.get(request)
        if reply is None:
            return None
        age_s = self.age_s(reply)
        if age_s >= reply.ttl_s:
            self.drop(request)
            return None
        if max_age_s is not None and age_s > max_age_s:
            return None
        self._kept[request] = self._kept.pop(request)  # the last in order is the last that was used
        return reply

    def put(self, reply: Reply) -> None:
        """Keeps a reply in place of any to the same request."""
        self.drop(reply.request)
        if reply.n_bytes > self._max_bytes:
            return
        self._kept[reply.request] = reply
        self.n_bytes += reply.n_bytes
        while self.n_bytes > self._max_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, request: bytes) -> None:
        """Forgets the reply to a request, if there is one."""
        reply = self._kept.pop(request, None)
        if reply:
            self.n_bytes -= reply.n_bytes

    def clear(self, tenant: str) -> int:
        """Forgets every reply of a tenant, and returns how many those were."""
        doomed = [request for request, reply in self._kept.items() if reply.tenant == tenant]
        for request in doomed:
            self.drop(request)
        return len(doomed)

    def age_s(self, reply: Reply) -> float:
        """How old a reply is."""
        return max(0.0, self._clock() - reply.stored_at_s)  # the time of day may be set back

    def __len__(self) -> int:
        return len(self._kept)
