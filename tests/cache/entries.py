"""Kept answers for tests."""

import numpy as np
from msgspec.structs import replace

from cache.entry import Entry, Life, Question, entry_of
from cache.key import CacheKey
from rag.base.answers import Answer
from tests.serve.stage import ANSWER


def key_of(name: str, canonical: str | None = None, scope: str = "scope") -> CacheKey:
    return CacheKey(name.encode(), (canonical or name).encode(), scope.encode())


def entry(
    name: str,
    *,
    n_chars: int = 0,
    cost_s: float = 1.0,
    now_s: float = 0.0,
    ttl_s: float = 60.0,
    answer: Answer = ANSWER,
) -> Entry:
    answer = replace(answer, text=answer.text + "x" * n_chars, stages_s={"generate": cost_s})
    question = Question(name, np.ones(2, dtype=np.float32))
    return entry_of(key_of(name), question, answer, Life(tenant="acme", stored_at_s=now_s, ttl_s=ttl_s))
