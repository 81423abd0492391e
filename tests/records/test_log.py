"""The writer: nobody waits for it, what cannot be written is counted, and what was added is there at the end."""

import asyncio
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rag.base.answers import Answer
from rag.records import requests
from rag.records.config import LogConfig, SqliteConfig
from rag.records.connection import Connection, SqliteConnection
from rag.records.database import Database, open_database
from rag.records.entry import entry_of
from rag.records.log import RequestLog, open_request_log
from rag.records.sampling import is_notable, sampled
from rag.telemetry.spent import Spent
from rag.telemetry.told import Told
from tests.records.test_requests import plain
from tests.serve.stage import ANSWER
from tests.telemetry.test_metrics import QUERY


def config_of(**changes: object) -> LogConfig:
    return LogConfig(max_age_s=1e12, **changes)


class Drops:
    def __init__(self) -> None:
        self.by_reason: dict[str, int] = {}

    def __call__(self, reason: str, n_records: int) -> None:
        self.by_reason[reason] = self.by_reason.get(reason, 0) + n_records


async def n_stored(database: Database) -> int:
    return len(await database.run(lambda connection: requests.following(connection, 10**6)))


async def test_what_was_added_is_there_after_the_end(tmp_path: Path) -> None:
    drops = Drops()
    async with open_database(SqliteConfig(), tmp_path) as database:
        async with open_request_log(database, config_of(), drops) as log:
            for number in range(2500):
                log.add(plain(number))
        assert await n_stored(database) == 2500
    assert drops.by_reason == {}


async def test_a_full_queue_drops_and_counts_and_does_not_wait(tmp_path: Path) -> None:
    """The database is held up; the log takes what its queue holds and not one more."""
    hold, drops = threading.Event(), Drops()
    async with open_database(SqliteConfig(), tmp_path) as database:
        holding = asyncio.ensure_future(database.run(lambda _: hold.wait()))
        async with open_request_log(database, config_of(queue_records=3), drops) as log:
            for number in range(5):
                log.add(plain(number))
            hold.set()
        await holding
        assert await n_stored(database) == 3
    assert drops.by_reason == {"full": 2}


async def test_a_full_disk_costs_records_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`max_page_count` is SQLite's own way to say that there is no more room."""

    class Full(SqliteConnection):
        def execute(self, sql, values=None):
            rows = super().execute(sql, values)
            if "migrations" not in sql:
                return rows
            super().execute("PRAGMA max_page_count = 60")
            return rows

    drops = Drops()
    database = Database(lambda: Full(tmp_path / "records.db"))
    async with open_request_log(database, config_of(), drops) as log:
        for round_ in range(5):
            for number in range(50):
                log.add(plain(1000 * round_ + number, question="x" * 1000))
            await log.flush()
    assert drops.by_reason["failed"] >= 150
    assert 0 < await n_stored(database) <= 100
    assert caplog.text.count("cannot be written") == 1, "said once, not for every batch"
    await database.aclose()


async def test_a_database_that_is_away_and_comes_back(tmp_path: Path) -> None:
    away = [True]

    def connect() -> Connection:
        if away[0]:
            raise OSError("no route to host")
        return SqliteConnection(tmp_path / "records.db")

    drops, database = Drops(), Database(connect)
    async with open_request_log(database, config_of(), drops) as log:
        log.add(plain(1))
        await log.flush()
        away[0] = False
        log.add(plain(2))
    assert drops.by_reason == {"failed": 1}
    assert await n_stored(database) == 1
    await database.aclose()


async def test_a_fault_of_ours_does_not_end_the_writer(tmp_path: Path) -> None:
    drops = Drops()
    async with (
        open_database(SqliteConfig(), tmp_path) as database,
        open_request_log(database, config_of(), drops) as log,
    ):
        log.add(replace(plain(1), cited=object()))
        await log.flush()
        log.add(plain(2))
        await log.flush()
        assert await n_stored(database) == 1
    assert drops.by_reason == {"failed": 1}


async def test_rates_over_a_sample_are_those_of_all(tmp_path: Path) -> None:
    """One in ten failed, and all of those are kept: weighed by the inverse of the probability, the rate is true."""
    random.seed(7)
    async with open_database(SqliteConfig(), tmp_path) as database:
        log = RequestLog(database, config_of(sample=0.2), Drops())
        for number in range(5000):
            log.add(plain(number, outcome="error" if number % 10 == 0 else "answered"))
        await log.aclose()
        kept = await database.run(lambda connection: requests.following(connection, 10**6))
    assert sum(record.outcome == "error" for record in kept) == 500
    assert len(kept) < 1600
    weights = {
        outcome: sum(1 / r.probability for r in kept if r.outcome == outcome) for outcome in ("error", "answered")
    }
    assert weights["error"] / sum(weights.values()) == pytest.approx(0.1, rel=0.1)


@given(
    st.sampled_from(["answered", "cache_hit", "refused", "error", "shed", "left"]),
    st.one_of(st.none(), st.floats(0, 1)),
    st.lists(st.just("rerank"), max_size=1),
    st.floats(0, 1),
    st.floats(0, 1, exclude_max=True),
)
def test_what_is_notable_is_always_kept_and_the_rest_with_its_share(outcome, confidence, degraded, share, draw) -> None:
    record = plain(1, outcome=outcome, confidence=confidence, degraded=tuple(degraded))
    config = config_of(sample=share)
    probability, kept = sampled(record, config, draw)
    assert kept == (draw < probability)
    assert probability == (1.0 if is_notable(record, config) else share)
    if outcome in {"error", "shed", "refused"} or degraded or (confidence is not None and confidence < 0.3):
        assert kept


def told(answer: Answer | None, **changes: object) -> Told:
    plain_ = Told(
        kind="ask",
        request_id="r1",
        tenant="acme",
        subject="ann",
        outcome="answered",
        error=None,
        question=QUERY.text,
        answer=answer,
        duration_s=1.0,
        ttft_s=0.5,
        spent=Spent(n_calls=1, input_tokens=20, output_tokens=5, cost_usd=0.25),
    )
    return replace(plain_, **changes)


def test_a_record_holds_no_text_unless_it_is_told_how() -> None:
    record = entry_of(told(ANSWER))
    assert (record.question, record.answer) == (None, None)
    kept = entry_of(told(ANSWER), redact=str.upper)
    assert (kept.question, kept.answer) == ("WHEN?", "14 DAYS. [1]")
    assert (record.top_score, record.cited) == (0.7, ("d1",))


def test_a_record_holds_what_was_spent_and_not_what_the_answer_says_it_had_cost() -> None:
    """An answer from memory tells the usage of its making; it was paid for then."""
    assert entry_of(told(ANSWER, spent=Spent())).input_tokens == 0
    assert (entry_of(told(ANSWER)).input_tokens, entry_of(told(ANSWER)).cost_usd) == (20, 0.25)


def test_a_question_without_an_answer_leaves_a_record_too() -> None:
    record = entry_of(told(None, outcome="error", error="Unavailable"))
    assert (record.outcome, record.error, record.model) == ("error", "Unavailable", None)
