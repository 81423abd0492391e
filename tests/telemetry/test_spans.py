"""What is recorded, what is kept, and what it costs those who are not looked at."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.telemetry.finished import FinishedTrace, finished
from rag.telemetry.spans import CURRENT, MAX_ATTRIBUTES, MAX_SPANS, Point, Trace, Tracer, batch, end
from rag.telemetry.w3c import outgoing, parsed, written
from rag.telemetry.within import within


class Kept(list[FinishedTrace]):
    def __call__(self, trace: Trace) -> None:
        self.append(finished(trace, None))


def ticking():
    return iter(range(0, 10**9, 1_000)).__next__


def test_steps_nest_and_end_in_order() -> None:
    kept = Kept()
    tracer = Tracer(kept, clock=ticking())
    with tracer.request("root", "server"), tracer.step("outer"):
        with tracer.step("inner"):
            pass
        with tracer.step("second"):
            pass
    names = {span.span_id: span.name for span in kept[0].spans}
    parents = {span.name: names.get(span.parent_id or "") for span in kept[0].spans}
    assert parents == {"root": None, "outer": "root", "inner": "outer", "second": "outer"}
    assert CURRENT.get() is None


def test_outside_of_a_request_a_step_is_a_trace_of_its_own() -> None:
    kept = Kept()
    with Tracer(kept).step("ingest"):
        pass
    assert [trace.name for trace in kept] == ["ingest"]


@pytest.mark.parametrize(
    ("sample", "fails", "seconds", "is_kept"),
    [(1.0, False, 0, True), (0.0, False, 0, False), (0.0, True, 0, True), (0.0, False, 11, True)],
)
def test_failures_and_slow_requests_are_kept_whatever_the_sample(sample, fails, seconds, is_kept) -> None:
    kept, now_ns = Kept(), [0]
    tracer = Tracer(kept, sample=sample, slow_s=10, clock=lambda: now_ns[0])
    with suppress(ZeroDivisionError), tracer.request("root", "server"), tracer.step("part"):
        now_ns[0] += int(seconds * 1e9)
        _ = 1 / (0 if fails else 1)
    assert bool(kept) == is_kept


def test_one_who_leaves_is_no_failure() -> None:
    kept = Kept()
    with pytest.raises(asyncio.CancelledError), Tracer(kept, sample=0.0).request("root", "server"):
        raise asyncio.CancelledError
    assert kept == []


def test_a_caller_decides_for_its_own_request() -> None:
    kept = Kept()
    tracer = Tracer(kept, sample=0.0)
    with tracer.request("root", "server", Point(7, 8, is_sampled=True)):
        pass
    with Tracer(kept, sample=1.0).request("root", "server", Point(9, 10, is_sampled=False)):
        pass
    (trace,) = kept
    assert (trace.trace_id, trace.spans[0].parent_id) == (f"{7:032x}", f"{8:016x}")


async def test_the_reader_of_a_generator_does_not_stand_below_it() -> None:
    kept = Kept()
    tracer = Tracer(kept)
    seen = []

    async def numbers():
        for number in range(2):
            seen.append(CURRENT.get())
            yield number

    with tracer.request("root", "server") as root:
        span = tracer.begin("generator")
        async for _ in within(CURRENT, span, numbers()):
            assert CURRENT.get() is root
        end(span)
    assert seen == [span, span]


async def test_leaving_a_generator_early_ends_what_it_reads() -> None:
    closed = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    tracer = Tracer(Kept())
    with tracer.request("root", "server"):
        events = within(CURRENT, tracer.begin("generator"), numbers())
        await anext(events)
        await events.aclose()
    assert closed == [True]


def test_a_batch_for_one_stands_below_it_and_one_for_nobody_leaves_nothing() -> None:
    kept = Kept()
    tracer = Tracer(kept)
    with tracer.request("root", "server") as root, batch("batch", [root, None, root]):
        pass
    with batch("batch", [None]) as nothing:
        assert nothing is None
    (span, _) = sorted(kept[0].spans, key=lambda span: span.name)
    assert (span.name, span.parent_id, len(span.links)) == ("batch", f"{root.id:016x}", 1)


def test_a_batch_that_nobody_asked_to_trace_is_not_below_who_started_it() -> None:
    tracer = Tracer(Kept())
    with tracer.request("root", "server"), batch("batch", [None]):
        assert CURRENT.get() is None


def test_a_batch_for_several_is_kept_with_each_trace_that_is() -> None:
    kept = Kept()
    tracer, other = Tracer(kept, sample=1.0), Tracer(kept, sample=0.0)
    with tracer.request("kept", "server") as one:
        token = CURRENT.set(None)
        with other.request("not kept", "server") as two, batch("batch", [one, two]):
            pass
        CURRENT.reset(token)
    (trace,) = kept
    assert [len(span.links) for span in trace.batches] == [2]


def test_a_trace_and_a_span_are_bounded() -> None:
    kept = Kept()
    tracer = Tracer(kept)
    with tracer.request("root", "server") as root:
        root.describe = lambda _: {f"name.{number}": number for number in range(5 * MAX_ATTRIBUTES)}
        for _ in range(MAX_SPANS + 10):
            with tracer.step("step"):
                pass
    assert len(kept[0].spans) <= MAX_SPANS + 1


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_a_header_that_we_write_we_can_read(trace_id: int, span_id: int, is_sampled: bool) -> None:
    point = Point(trace_id, span_id, is_sampled)
    assert parsed(written(point)) == point


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
        "00-" + "G" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "garbage",
    ],
)
def test_a_header_that_is_not_valid_is_ignored(header) -> None:
    assert parsed(header) is None


def test_a_later_version_may_say_more() -> None:
    assert parsed("cc-" + "1" * 32 + "-" + "1" * 16 + "-01-what-the-future-holds") is not None


def test_what_goes_out_carries_the_open_span_and_nothing_outside_of_one() -> None:
    assert outgoing() == {}
    with Tracer(Kept()).request("root", "server") as root:
        assert outgoing() == {"traceparent": f"00-{root.trace.id:032x}-{root.id:016x}-01"}
