"""`rag bench embed` and `rerank`: who runs when, and what is counted."""

import pytest

from rag.base.errors import ConfigError
from rag.bench.corpus import Entry
from rag.bench.models import (
    BATCH,
    DEPTH,
    Contender,
    contending,
    idle_contending,
    idle_cost_ms,
    jobs,
    of_length,
    race,
    single_jobs,
)
from rag.infer.models import open_model
from rag.infer.tokens import load_counter

ENTRIES = [Entry(f"d{n}", "t", f"The tower number {n} was built in {1900 + n}.") for n in range(10)]
QUESTIONS = ["When was the tower built?"]


def test_the_work_is_the_same_again_and_cut_as_the_service_cuts_it():
    embedding, pairs = jobs("embed", ENTRIES, QUESTIONS, 70), jobs("rerank", ENTRIES, QUESTIONS, 70)
    assert embedding == jobs("embed", ENTRIES, QUESTIONS, 70)
    assert [len(texts) for _, texts in embedding] == [BATCH, BATCH, 70 - 2 * BATCH]
    assert {question for question, _ in embedding} == {""}
    assert [len(texts) for _, texts in pairs] == [DEPTH, DEPTH, DEPTH, 10]
    assert {question for question, _ in pairs} == set(QUESTIONS)


@pytest.mark.parametrize("n_tokens", [16, 128])
def test_items_can_all_be_of_one_length(n_tokens):
    counter = load_counter(open_model("all-minilm-l6-v2", "embed").tokenizer)
    for task in ("embed", "rerank"):
        for question, texts in of_length(jobs(task, ENTRIES, QUESTIONS, 70), n_tokens, counter):
            lengths = [len(counter.encode(*([question, text] if question else [text])).ids) for text in texts]
            assert lengths == [n_tokens] * len(texts)


def test_a_pair_has_no_room_beside_a_long_question():
    counter = load_counter(open_model("all-minilm-l6-v2", "embed").tokenizer)
    with pytest.raises(ConfigError, match="too few"):
        of_length([("word " * 20, ["text"])], 16, counter)


async def test_texts_can_come_one_by_one():
    async with contending("embed", fp32="", original="", one_by_one=True) as ((ours,), _):
        vectors = await ours.run(("", ["one", "two", "three"]))
    assert [each.shape for each in vectors] == [(1, 384)] * 3


@pytest.mark.parametrize("task", ["embed", "rerank"])
async def test_contenders_work_through_everything_by_turns(task):
    work = jobs(task, ENTRIES, QUESTIONS, 4)
    done: list[str] = []

    async def run(job):
        done.append("other")

    async with contending(task, fp32="", original="") as (ours, counter):
        report = await race("t", [*ours, Contender("other", run, 1)], work, 2, counter)
    assert [speed.name for speed in report.speeds] == ["groundwire", "other"]
    assert len(done) == 3, "once to warm up and twice to be measured"
    assert report.n_items == 4
    assert report.n_tokens > 4 * 10
    assert report.speeds[0].ratio[0] == 1.0
    assert report.speeds[0].tokens_per_s == pytest.approx(report.speeds[0].items_per_s * report.n_tokens / 4)


async def test_what_an_idle_service_adds_is_the_difference_for_one_text():
    work = single_jobs(QUESTIONS, 3)
    assert [len(texts) for _, texts in work] == [1, 1, 1]
    async with idle_contending() as (contenders, counter):
        report = await race("t", contenders, work, 1, counter)
    ours, direct = report.speeds
    assert (ours.name, direct.name) == ("groundwire", "called directly")
    assert idle_cost_ms(report) == pytest.approx(1000 / ours.items_per_s - 1000 / direct.items_per_s)
