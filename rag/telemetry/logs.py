"""How log lines look, whoever logs: JSON for machines, colours on a terminal. `rag serve` sets it up.

Each line carries the ids of the request, the trace and the span that it belongs to. Nobody logs the text of a question
or of a document: see `rag.base.errors`.
"""

import logging
import re
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from rag.telemetry.config import LogsConfig
from rag.telemetry.spans import CURRENT
from rag.telemetry.told import REQUEST_ID

_PLAIN: Final = structlog.dev.plain_traceback
"""With rich installed, which it is, structlog would show the local variables of every frame: keys, texts, questions."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure(config: LogsConfig, stream: TextIO) -> None:
    """Sends all that is logged, by us and by libraries, to `stream`, one line each."""
    as_text = config.format == "text" or (config.format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(as_text=as_text, colours=stream.isatty()))
    logging.basicConfig(handlers=[handler], level=config.level.upper(), force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell the address of every request


def _formatter(*, as_text: bool, colours: bool) -> logging.Formatter:
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_place,
    ]
    last: list[Processor] = (
        [_keep_to_one_line, structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False, exception_formatter=_PLAIN)]
        if as_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def _keep_to_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What a line tells may come from afar; it must not make a second line, or drive the terminal. JSON escapes it."""
    event["event"] = _CONTROL.sub("\ufffd", str(event["event"]))
    return event


def _name_place(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Which request this belongs to, and where in its trace."""
    if request_id := REQUEST_ID.get():
        event["request_id"] = request_id
    span = CURRENT.get()
    if span is not None:
        event["trace_id"] = f"{span.trace.id:032x}"
        event["span_id"] = f"{span.id:016x}"
    return event
