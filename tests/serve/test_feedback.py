"""POST /feedback: tied to the answer, by who asked it, and redacted."""

from contextlib import asynccontextmanager

import pytest

from rag.govern.redact import redactor
from rag.records import requests
from rag.records.config import LogConfig, SqliteConfig
from rag.records.database import open_database
from rag.records.entry import entry_of
from rag.records.feedback import FeedbackBook, of
from rag.records.log import open_request_log
from rag.telemetry.measured import MeasuredAnswers
from rag.telemetry.metrics import Metrics
from tests.serve.stage import OTHERS, StageAnswerer, client_of, services


@asynccontextmanager
async def logged(tmp_path):
    async with (
        open_database(SqliteConfig(), tmp_path) as database,
        open_request_log(database, LogConfig(), lambda *_: None) as log,
    ):
        answers = MeasuredAnswers(StageAnswerer(), Metrics(), tell=lambda told: log.add(entry_of(told)))
        staged = services(answerer=answers, feedback=FeedbackBook(database, log, redactor()))
        async with client_of(staged) as client:
            yield client, database


async def test_a_judgement_is_kept_with_the_request_and_redacted(tmp_path):
    async with logged(tmp_path) as (client, database):
        answer = (await client.post("/ask", json={"question": "When?"})).json()
        word = {"id": answer["id"], "thumb": "down", "comment": "ask ann@example.com", "correction": "15 days"}
        assert (await client.post("/feedback", json=word)).status_code == 204
        (record,) = await database.run(lambda connection: requests.latest(connection, 9))
        kept = (await database.run(lambda connection: of(connection, [record.id])))[record.id]
    assert (record.request_id, record.subject) == (answer["id"], "ann")
    assert (kept.thumb, kept.comment, kept.correction) == ("down", "ask [EMAIL]", "15 days")


async def test_to_others_the_answer_does_not_exist(tmp_path):
    async with logged(tmp_path) as (client, _):
        answer = (await client.post("/ask", json={"question": "When?"})).json()
        word = {"id": answer["id"], "thumb": "up"}
        theirs = await client.post("/feedback", json=word, headers=OTHERS)
        unknown = await client.post("/feedback", json=word | {"id": "unknown"})
    assert (theirs.status_code, unknown.status_code) == (404, 404)


@pytest.mark.parametrize("word", [{"id": "x"}, {"id": "x", "thumb": "sideways"}, {"id": "", "thumb": "up"}])
async def test_a_malformed_judgement_is_refused(tmp_path, word):
    async with logged(tmp_path) as (client, _):
        assert (await client.post("/feedback", json=word)).status_code == 422


async def test_without_a_log_there_is_nothing_to_judge():
    async with client_of(services()) as client:
        reply = await client.post("/feedback", json={"id": "x", "thumb": "up"})
    assert reply.status_code == 404
    assert "request log" in reply.json()["detail"]
