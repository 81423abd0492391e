"""What was handed in can be asked about, waited for, withdrawn and tried again, and is not lost with the queue."""

from functools import partial

import pytest

from ingest.draft import Draft
from ingest.queue.desk import outcome_of
from ingest.queue.upkeep import KEEP_S, OFFER_AGAIN_S
from rag.base.deadline import Deadline
from rag.base.errors import Conflict, Forbidden
from rag.base.types import Principal
from rag.govern.access import readable_by
from rag.records import leases, submissions
from rag.records.connection import Connection
from tests.indexing import TENANT, all_records
from tests.ingest.queue.conftest import MANAGER, House

EVE = readable_by(Principal(subject="eve", tenant=TENANT))
SOON = Deadline(at_s=0.0)


async def test_the_same_is_taken_once_while_it_waits_and_told_again(house: House) -> None:
    one = await house.hand_in("wiki:cat", "the cat sat")
    again = await house.hand_in("wiki:cat", "the cat sat")
    assert again == one
    assert house.offered == [(one.id, "upload")] * 2, "the first telling may not have reached the queue"


async def test_an_upload_does_not_wait_for_a_backfill_of_the_same(house: House) -> None:
    slow = await house.hand_in("wiki:cat", "the cat sat", lane="backfill")
    fast = await house.hand_in("wiki:cat", "the cat sat")
    assert fast.id != slow.id
    assert (await house.hand_in("wiki:cat", "the cat sat", lane="backfill")).id == fast.id


async def test_what_it_cost_and_became_is_told_to_who_waits(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat on a mat")
    early = await house.desk.wait(submission, ("searchable",), SOON)
    assert (early.state, outcome_of(early)) == ("queued", None)
    await house.work(house.worker(), submission)
    outcome = outcome_of(await house.desk.wait(submission, ("searchable",), Deadline.after(60)))
    assert outcome is not None
    assert (outcome.status, outcome.uri, outcome.n_chunks) == ("added", "wiki:cat", 1)


async def test_who_waits_learns_that_another_version_took_its_place(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat")
    await house.hand_in("wiki:cat", "the cat sat on a mat")
    with pytest.raises(Conflict):
        await house.desk.wait(submission, ("searchable",), Deadline.after(60))


async def test_who_waits_does_not_mind_that_the_same_was_handed_in_anew(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat")
    await house.work(house.worker(), submission)
    anew = await house.hand_in("wiki:cat", "the cat sat")
    assert anew.id != submission.id, "the first is done"
    assert await house.desk.wait(submission, ("searchable",), SOON) == anew
    await house.work(house.worker(), anew)
    assert (await house.desk.wait(submission, ("searchable",), SOON)).state == "searchable"


async def test_an_estimate_follows_the_pace_of_the_last_minute(house: House) -> None:
    waiting = []
    for number in range(6):
        house.clock.now_s = 1000.0 + number
        waiting.append(await house.hand_in(f"wiki:{number}", f"the cat {number}"))
    assert (await house.desk.standing(waiting[5])).eta_s is None
    for submission in waiting[:2]:
        await house.work(house.worker(), submission)
    done = await house.desk.of(MANAGER, waiting[0].document_id)
    assert done is not None
    assert (await house.desk.standing(done)).eta_s is None, "it is there already"
    assert (await house.desk.standing(waiting[5])).eta_s == 120.0, "three before it, and two done in a minute"


async def test_a_document_that_waits_hides_from_those_who_may_not_read_it(house: House) -> None:
    draft = Draft(uri="wiki:plan", text="the mat", acl=("group:board",))
    submission = await house.desk.hand_in(MANAGER, draft, "upload")
    assert await house.desk.of(EVE, submission.document_id) is None
    assert await house.desk.of(MANAGER, submission.document_id) == submission
    assert await house.desk.readers_of(MANAGER, "wiki:plan") == ("group:board",)
    with pytest.raises(Forbidden):
        await house.desk.readers_of(EVE, "wiki:plan")
    assert await house.desk.readers_of(EVE, "wiki:other") is None


async def test_what_is_withdrawn_is_not_indexed(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat")
    assert await house.desk.withdraw(TENANT, submission.document_id, Deadline.after(60))
    assert await house.work(house.worker(), submission)
    assert await all_records(house.store) == {}
    assert not await house.desk.withdraw(TENANT, submission.document_id, Deadline.after(60))
    others = [await house.hand_in(f"wiki:{number}", "the cat") for number in range(3)]
    await house.desk.withdraw_all(TENANT)
    assert [await house.work(house.worker(), other) for other in others] == [True] * 3
    assert await all_records(house.store) == {}


async def test_a_document_in_a_workers_hand_cannot_be_withdrawn_before_it_is_put_down(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat")

    def in_hand(connection: Connection) -> None:
        leases.take(connection, [f"document:{submission.document_id}"], "a worker", house.clock(), house.clock() + 30)

    await house.database.run(in_hand)
    with pytest.raises(Conflict, match="indexing this document"):
        await house.desk.withdraw(TENANT, submission.document_id, SOON)
    assert not await house.desk.withdraw(TENANT, submission.document_id, Deadline.after(60)), "its lease ended"


async def test_failed_documents_are_tried_again_when_asked(house: House) -> None:
    submission = await house.hand_in("wiki:empty", "")
    await house.work(house.worker(), submission)
    (letter,) = await house.database.run(partial(submissions.failed, tenant=TENANT))
    assert (letter.uri, letter.reason, letter.attempts) == ("wiki:empty", "it holds no text", 1)
    house.offered.clear()
    await house.database.run(partial(submissions.revive, identifiers=[letter.id], now_s=house.clock()))
    await house.upkeep.once()
    assert house.offered == [(submission.id, "upload")]
    assert (await house.state(submission))[:2] == ("queued", 0)


async def test_what_the_queue_did_not_hear_or_lost_is_offered_again(house: House) -> None:
    house.away = True
    submission = await house.hand_in("wiki:cat", "the cat sat")
    assert house.offered == []
    house.away = False
    await house.upkeep.once()
    assert house.offered == [], "it may still be in the queue"
    house.clock.now_s += OFFER_AGAIN_S + 1
    await house.upkeep.once()
    await house.upkeep.once()
    assert house.offered == [(submission.id, "upload")]
    await house.work(house.worker(), submission)
    house.clock.now_s += OFFER_AGAIN_S + 1
    await house.upkeep.once()
    assert len(house.offered) == 1, "it is done"


async def test_what_is_long_done_is_forgotten_and_what_failed_is_not(house: House) -> None:
    done, bad = await house.hand_in("wiki:cat", "the cat"), await house.hand_in("wiki:empty", "")
    for submission in (done, bad):
        await house.work(house.worker(), submission)
    house.clock.now_s += KEEP_S + 1
    await house.upkeep.once()
    assert await house.desk.of(MANAGER, done.document_id) is None
    assert (await house.state(bad))[0] == "failed"
