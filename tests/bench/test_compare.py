import os
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.bench.chart import nice
from rag.bench.compare import Run, interval, ratios, rows
from rag.bench.load.figures import Figures, Percentiles, Result
from rag.bench.machine import this_machine, usage_of
from rag.bench.report import report_of, svg


def a_run(server: str, per_s: float, repeat: int = 0, level: int = 8, **errors: int) -> Run:
    latency = Percentiles(p50=10.0, p90=15.0, p95=1000.0 / per_s, p99=30.0, longest=40.0)
    figures = Figures(
        lane=server,
        n_good=100,
        per_s=per_s,
        latency=latency,
        first=None,
        stall=None,
        n_refused=0,
        n_refused_without_wait=0,
        refused=None,
        lag=None,
        errors=errors,
    )
    result = Result(lanes=(figures,), n_replies=100, whole_s=2.0, cpu_s=0.1)
    return Run(server=server, load=f"{level}", level=level, repeat=repeat, result=result, cpu_ms=1.0, rss_mib=100.0)


RUNS = [a_run(server, value, at) for at, value in enumerate((100, 110, 120, 130)) for server in ("ours", "theirs")]


def test_rows_are_medians_and_a_void_run_is_not_in_them():
    runs = [a_run("ours", 100), a_run("ours", 120, 1), a_run("ours", 9000, 2, timeout=1)]
    (row,) = rows(runs)
    assert (row.per_s, row.n_runs, row.n_void) == (110, 3, 1)
    assert report_of("t", runs).n_void == 1


def test_a_ratio_is_ours_over_theirs_and_within_its_bounds():
    runs = [*(a_run("ours", value, at) for at, value in enumerate((200, 210, 190, 205))), *RUNS[1::2]]
    by = {ratio.what: ratio for ratio in ratios(runs)}
    assert by["per_s"].value == pytest.approx(202.5 / 115)
    assert by["per_s"].low <= by["per_s"].value <= by["per_s"].high
    assert by["p95"].value < 1
    assert by["per_s"].other == "theirs"


def test_a_run_without_a_reply_is_void():
    run = a_run("ours", 100)
    figures = msgspec.structs.replace(run.figures, latency=None, n_good=0, per_s=0.0)
    silent = msgspec.structs.replace(run, result=msgspec.structs.replace(run.result, lanes=(figures,)))
    assert silent.is_void
    assert ratios([run, msgspec.structs.replace(silent, server="theirs")]) == []


def test_nothing_sound_gives_no_ratio():
    assert ratios([a_run("ours", 100), a_run("theirs", 100, closed=1)]) == []
    assert ratios([]) == []


@settings(max_examples=20)
@given(st.lists(st.floats(1, 1000), min_size=1, max_size=6))
def test_against_itself_the_ratio_is_one(values):
    value, low, high = interval(values, values)
    assert value == 1.0
    assert low <= 1.0 <= high


def test_the_chart_is_well_formed_and_says_in_words_what_it_shows():
    runs = [a_run(name, value * level, level=level) for level in (1, 32) for name, value in (("a<b", 50), ("c", 20))]
    drawn = ET.fromstring(svg(report_of("A & B", runs)))
    names = {child.tag.rpartition("}")[2]: child.text for child in drawn}
    assert names["title"] == "A & B"
    assert "a<b: 50 at 1, 1600 at 32" in names["desc"]
    assert sum(1 for _ in drawn.iter("{http://www.w3.org/2000/svg}polyline")) == 2 + 6


def test_a_chart_of_void_runs_says_so():
    assert "no sound run" in svg(report_of("t", [a_run("a", 1, timeout=1)]))


@given(st.floats(1e-3, 1e7))
def test_a_scale_holds_its_values_and_wastes_little(value):
    assert value * 0.999 <= nice(value) <= 2.01 * value


def test_a_process_uses_time_and_memory():
    used = usage_of(os.getpid())
    assert used.cpu_s > 0
    assert used.rss_bytes > 10_000_000
    assert usage_of(2**22 + 1).rss_bytes == 0
    assert this_machine().cores >= 1
