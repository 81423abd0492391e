"""Submissions and leases, in both databases."""

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from rag.base.errors import Conflict
from rag.records import leases, submissions
from rag.records.connection import Connection
from rag.records.database import Database
from rag.records.submissions import Backlog, Submission


def submission(identifier: str, document: str = "d1", **changes: object) -> Submission:
    made = Submission(
        id=identifier,
        tenant="acme",
        document_id=document,
        uri=f"wiki:{document}",
        digest="one",
        lane="upload",
        acl=("everyone",),
        grants=("everyone", "user:ann"),
        submitted_s=100.0,
        changed_s=100.0,
    )
    return msgspec.structs.replace(made, **changes)


async def test_what_is_handed_in_comes_back_and_another_takes_its_place(database: Database) -> None:
    def work(connection: Connection) -> None:
        first, second = submission("s1"), submission("s2", digest="two", grants=None)
        assert submissions.submit(connection, first, b"body \x00 1") == first
        assert submissions.find(connection, "s1") == first
        assert submissions.body_of(connection, "s1") == b"body \x00 1"
        assert submissions.submit(connection, second, b"body 2") == second
        assert submissions.find(connection, "s1") is None
        assert submissions.of_document(connection, "acme", "d1") == second
        assert submissions.of_document(connection, "zeta", "d1") is None

    await database.run(work)


async def test_the_same_is_joined_while_it_is_open_and_handed_in_anew_after(database: Database) -> None:
    def work(connection: Connection) -> None:
        submissions.submit(connection, submission("s1"), b"body")
        assert submissions.submit(connection, submission("s2"), b"body").id == "s1"
        assert submissions.submit(connection, submission("s3", grants=("user:bob",)), b"body").id == "s3"
        submissions.advance(connection, "s3", "searchable", 101.0, '{"status":"added"}')
        assert submissions.body_of(connection, "s3") == b"", "what is indexed needs no copy"
        again = submissions.submit(connection, submission("s4", grants=("user:bob",)), b"body")
        assert (again.id, again.state, again.outcome) == ("s4", "queued", None)

    await database.run(work)


async def test_attempts_are_counted_unless_the_document_could_not_help_it(database: Database) -> None:
    def work(connection: Connection) -> None:
        submissions.submit(connection, submission("s1"), b"body")
        begun = submissions.begin(connection, "s1", "embedding", 101.0)
        assert begun is not None
        assert (begun.state, begun.attempts, begun.changed_s) == ("embedding", 1, 101.0)
        submissions.put_off(connection, "s1", "the store is away", 102.0, counts=False)
        waiting = submissions.find(connection, "s1")
        assert waiting is not None
        assert (waiting.state, waiting.attempts, waiting.reason) == ("queued", 0, "the store is away")
        submissions.begin(connection, "s1", "embedding", 103.0)
        submissions.put_off(connection, "s1", "odd", 104.0, counts=True)
        submissions.begin(connection, "s1", "embedding", 105.0)
        submissions.fail(connection, "s1", "it holds no text", 106.0, transient=False)
        (letter,) = submissions.failed(connection, "acme")
        assert (letter.attempts, letter.reason, letter.transient, letter.is_open) == (
            2,
            "it holds no text",
            False,
            False,
        )
        assert submissions.begin(connection, "s1", "embedding", 107.0) is None
        submissions.revive(connection, ["s1"], 108.0)
        (offered,) = submissions.to_offer(connection, 50.0, 109.0, 10)
        assert (offered.id, offered.state, offered.attempts) == ("s1", "queued", 0)
        assert submissions.to_offer(connection, 50.0, 110.0, 10) == []

    await database.run(work)


async def test_what_was_withdrawn_is_not_begun_and_changes_of_it_change_nothing(database: Database) -> None:
    def work(connection: Connection) -> None:
        submissions.submit(connection, submission("s1"), b"")
        submissions.submit(connection, submission("s2", "d2"), b"")
        assert submissions.withdraw(connection, "acme", ("d1", "d9")) == 1
        assert submissions.begin(connection, "s1", "embedding", 101.0) is None
        submissions.fail(connection, "s1", "no", 101.0, transient=True)
        assert submissions.withdraw(connection, "acme", None) == 1
        assert submissions.failed(connection, "acme") == []

    await database.run(work)


async def test_the_backlog_is_that_of_a_lane_and_what_is_done_is_forgotten(database: Database) -> None:
    def work(connection: Connection) -> None:
        for number in range(4):
            one = submission(f"s{number}", f"d{number}", submitted_s=100.0 + number)
            submissions.submit(connection, one, b"")
        submissions.submit(connection, submission("b1", "d9", lane="backfill", submitted_s=90.0), b"")
        submissions.advance(connection, "s0", "searchable", 110.0)
        last = submissions.find(connection, "s3")
        assert last is not None
        assert submissions.backlog(connection, last, 120.0) == Backlog(n_before=2, n_ended=1)
        assert submissions.forget(connection, 111.0) == 1
        assert submissions.backlog(connection, last, 120.0) == Backlog(n_before=2, n_ended=0)

    await database.run(work)


async def test_a_name_has_one_holder_until_it_is_given_back_or_not_renewed(database: Database) -> None:
    def take(names: list[str], holder: str, now_s: float) -> Callable[[Connection], None]:
        return partial(leases.take, names=names, holder=holder, now_s=now_s, until_s=now_s + 30.0)

    def is_held(name: str, now_s: float) -> Callable[[Connection], bool]:
        return partial(leases.is_held, name=name, now_s=now_s)

    await database.run(take(["a", "b"], "ann", 100.0))
    await database.run(take(["a"], "ann", 101.0))
    with pytest.raises(Conflict):
        await database.run(take(["c", "b"], "bob", 101.0))
    assert not await database.run(is_held("c", 101.0)), "all of the names or none"
    assert await database.run(partial(leases.renew, holder="ann", now_s=120.0, until_s=150.0)) == 2
    with pytest.raises(Conflict):
        await database.run(take(["a"], "bob", 140.0))
    assert await database.run(is_held("a", 150.0))
    assert not await database.run(is_held("a", 150.1))
    await database.run(take(["a"], "bob", 151.0))
    assert await database.run(partial(leases.renew, holder="ann", now_s=151.0, until_s=181.0)) == 0, "lapsed is lost"
    await database.run(partial(leases.give_back, holder="bob"))
    assert not await database.run(is_held("a", 152.0))
