"""Log lines: JSON with the ids of what they belong to, whoever logs; text on a terminal."""

import io
import json
import logging

import pytest

from rag.telemetry.config import LogsConfig
from rag.telemetry.logs import configure
from rag.telemetry.spans import Tracer
from rag.telemetry.told import REQUEST_ID


@pytest.fixture
def _logging_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


pytestmark = pytest.mark.usefixtures("_logging_as_it_was")


def logged(config: LogsConfig, *, is_terminal: bool = False) -> io.StringIO:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Stream()
    configure(config, stream)
    return stream


def test_a_line_names_its_request_trace_and_span() -> None:
    stream = logged(LogsConfig())
    token = REQUEST_ID.set("r1")
    with Tracer(lambda _: None).request("root", "server") as span:
        logging.getLogger("rag.somewhere").warning("it took %s s", 5)
    REQUEST_ID.reset(token)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("it took 5 s", "warning", "rag.somewhere")
    assert line["request_id"] == "r1"
    assert (line["trace_id"], line["span_id"]) == (f"{span.trace.id:032x}", f"{span.id:016x}")
    assert line["timestamp"].endswith("Z")


def test_a_traceback_stays_within_its_line() -> None:
    stream = logged(LogsConfig())
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("rag").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_a_terminal_gets_text_and_a_level_keeps_things_out() -> None:
    stream = logged(LogsConfig(level="warning"), is_terminal=True)
    logging.getLogger("rag").info("nobody wants to know")
    logging.getLogger("rag").warning("somebody does")
    assert "somebody does" in stream.getvalue()
    assert "nobody" not in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_traceback_tells_where_it_failed_and_not_what_was_worked_on(is_terminal: bool) -> None:
    stream = logged(LogsConfig(format="text"), is_terminal=is_terminal)

    def divide(question: str) -> float:
        return len(question) / 0

    try:
        divide("how ill is " + "ann")
    except ZeroDivisionError:
        logging.getLogger("rag").exception("failed")
    assert "ZeroDivisionError" in stream.getvalue()
    assert "how ill is ann" not in stream.getvalue()


def test_what_came_from_afar_makes_no_second_line_and_drives_no_terminal() -> None:
    stream = logged(LogsConfig(format="text"))
    logging.getLogger("rag").warning("the model said %s", "x\n2026-01-01 [error] forged\x1b[2J\x9b2J\u2028y")
    (line,) = stream.getvalue().splitlines()
    assert "forged" in line
    assert "\x1b" not in line
    assert "\x9b" not in line
