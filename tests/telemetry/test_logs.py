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
