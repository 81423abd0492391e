"""The table of requests: what goes in comes out, what is too old or too much goes, and a user can be forgotten."""

from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from rag.base.errors import NotFound
from rag.base.types import Principal
from rag.records import feedback, requests
from rag.records.config import LogConfig, SqliteConfig
from rag.records.connection import ROWS_AT_ONCE
from rag.records.database import Database, open_database
from rag.records.feedback import Feedback, give
from rag.records.requests import RequestRecord

NOW_S = 1_000_000.0
FULL = RequestRecord(
    at_s=NOW_S,
    request_id="r1",
    trace_id="t" * 32,
    tenant="acme",
    subject="ann",
    kind="ask",
    outcome="answered",
    error=None,
    model="m",
    cache="miss",
    stop_reason="stop",
    confidence=0.5,
    top_score=0.7,
    n_candidates=5,
    n_citations=2,
    input_tokens=100,
    output_tokens=20,
    cost_usd=0.001,
    duration_s=0.5,
    ttft_s=0.2,
    degraded=("rerank",),
    stages_s={"embed": 0.1},
    lineage={"index": "i", "model": "m"},
    cited=("d1", "d2"),
    question="When? 'Ünïcode' \x1f 100%",
    answer="14 days.",
    probability=0.25,
    kept=True,
)
ANN = Principal(subject="ann", tenant="acme")


def plain(number: int, **changes: object) -> RequestRecord:
    record = RequestRecord(
        id=f"{number:032x}",
        at_s=NOW_S + number,
        request_id=f"r{number}",
        tenant="acme",
        subject="ann",
        kind="ask",
        outcome="answered",
        duration_s=0.1,
    )
    return replace(record, **changes)


async def stored(database: Database, *records: RequestRecord) -> None:
    await database.run(partial(requests.insert, records=records))


async def names(database: Database) -> list[str]:
    return [record.request_id for record in await database.run(partial(requests.following, limit=1000))]


async def pruned(database: Database, now_s: float, **limits: float) -> int:
    config = LogConfig(**{"max_age_s": 1e9, "max_bytes": 10**9, "feedback_window_s": 1e9} | limits)
    return await database.run(partial(requests.prune, config=config, now_s=now_s))


async def test_a_record_comes_back_as_it_went_in(database: Database) -> None:
    await stored(database, FULL, plain(2))
    for record in (FULL, plain(2)):
        assert (
            await database.run(partial(requests.find, tenant="acme", subject="ann", request_id=record.request_id))
            == record
        )


async def test_the_newest_come_first_and_the_rest_page_by_page(database: Database) -> None:
    await stored(database, *(plain(number) for number in range(7)))
    latest = await database.run(partial(requests.latest, limit=3))
    assert [record.request_id for record in latest] == ["r6", "r5", "r4"]
    page = await database.run(partial(requests.following, limit=3, after=f"{1:032x}"))
    assert [record.request_id for record in page] == ["r2", "r3", "r4"]
    page = await database.run(partial(requests.following, limit=9, since_s=NOW_S + 5))
    assert [record.request_id for record in page] == ["r5", "r6"]


async def test_what_is_too_old_goes(database: Database) -> None:
    await stored(database, *(plain(number) for number in range(5)))
    assert await pruned(database, NOW_S + 10, max_age_s=7.5) == 3
    assert await names(database) == ["r3", "r4"]


async def test_what_sampling_did_not_choose_goes_after_the_window(database: Database) -> None:
    await stored(database, plain(0, kept=False), plain(1), plain(5, kept=False))
    assert await names(database) == ["r1"], "nor is it shown before"
    assert await pruned(database, NOW_S + 10, feedback_window_s=7.5) == 1
    assert await database.run(partial(requests.find, tenant="acme", subject="ann", request_id="r5"))


async def test_the_oldest_go_when_there_is_too_much(database: Database) -> None:
    records = [plain(number, question="x" * 1000) for number in range(10)]
    await stored(database, *records)
    size = requests.row_of(records[0])[-1]
    assert await pruned(database, NOW_S, max_bytes=3 * size) == 7
    assert await names(database) == ["r7", "r8", "r9"]
    assert await pruned(database, NOW_S, max_bytes=3 * size) == 0


async def test_a_user_is_forgotten_and_nobody_else(database: Database) -> None:
    await stored(database, plain(1), plain(2, tenant="other"), plain(3, subject="bob"))
    await database.run(partial(give, feedback=Feedback(thumb="up"), principal=ANN, request_id="r1"))
    assert await database.run(partial(requests.erase, tenant="acme", subject="ann")) == 1
    assert await names(database) == ["r2", "r3"]
    assert await database.run(lambda connection: connection.execute("SELECT * FROM feedback")) == []


async def test_feedback_is_tied_to_the_answer_and_replaced_by_a_second_one(database: Database) -> None:
    await stored(database, plain(1), plain(2, request_id="r1"))
    for word in (Feedback(thumb="up"), Feedback(thumb="down", comment="wrong", correction="15 days")):
        await database.run(partial(give, feedback=word, principal=ANN, request_id="r1"))
    found = await database.run(partial(feedback.of, record_ids=[f"{1:032x}", f"{2:032x}"]))
    assert found.keys() == {f"{2:032x}"}, "the newest request of that name"
    assert (found[f"{2:032x}"].thumb, found[f"{2:032x}"].correction) == ("down", "15 days")


@pytest.mark.parametrize("principal", [Principal(subject="bob", tenant="acme"), Principal(subject="ann", tenant="eve")])
async def test_nobody_else_judges_and_an_unknown_answer_is_not_found(database: Database, principal: Principal) -> None:
    await stored(database, plain(1))
    with pytest.raises(NotFound):
        await database.run(partial(give, feedback=Feedback(thumb="up"), principal=principal, request_id="r1"))
    with pytest.raises(NotFound):
        await database.run(partial(give, feedback=Feedback(thumb="up"), principal=ANN, request_id="r9"))


@pytest.mark.parametrize(("thumb", "kept"), [("up", False), ("down", True)])
async def test_a_thumb_down_keeps_what_sampling_did_not_choose(database: Database, thumb, kept: bool) -> None:
    await stored(database, plain(1, kept=False, probability=0.1))
    await database.run(partial(give, feedback=Feedback(thumb=thumb), principal=ANN, request_id="r1"))
    assert await pruned(database, NOW_S + 100, feedback_window_s=1) == (not kept)
    records = await database.run(partial(requests.latest, limit=9))
    assert [record.probability for record in records] == ([1.0] if kept else [])


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_what_is_erased_is_not_in_the_files_either(tmp_path: Path) -> None:
    """A server has the database open while `rag log erase` runs."""
    async with open_database(SqliteConfig(), tmp_path) as server:
        records = [plain(number, question=f"How ill is Ann? {number}") for number in range(50)]
        await server.run(partial(requests.insert, records=records))
        async with open_database(SqliteConfig(), tmp_path) as command:
            assert await command.run(partial(requests.erase, tenant="acme", subject="ann")) == 50
        assert not [name for name, content in contents(tmp_path).items() if b"How ill is Ann?" in content]


async def test_nobody_hides_a_request_by_its_name(database: Database) -> None:
    """Callers choose the names of their requests; each judges its own."""
    await stored(database, plain(1, request_id="same"), plain(2, request_id="same", subject="eve"))
    await database.run(partial(give, feedback=Feedback(thumb="up"), principal=ANN, request_id="same"))
    assert await database.run(partial(feedback.of, record_ids=[f"{1:032x}"]))


async def test_more_records_than_fit_into_one_statement_are_all_stored(database: Database) -> None:
    many = [replace(FULL, id=f"{number:032x}", request_id=f"r{number}") for number in range(2 * ROWS_AT_ONCE + 1)]
    await database.run(lambda connection: requests.insert(connection, many))
    stored = await database.run(lambda connection: requests.latest(connection, len(many) + 1))
    assert {one.request_id for one in stored} == {one.request_id for one in many}
    await database.run(lambda connection: requests.insert(connection, []))
