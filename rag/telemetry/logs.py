"""How log lines look, whoever logs: JSON for machines, colours on a terminal. `rag serve` sets it up.

Each line carries the ids of the request, the trace and the span that it belongs to. Nobody logs the text of a question
or of a document: see `rag.base.errors`.
"""

import logging
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from rag.telemetry.config import LogsConfig
from rag.telemetry.spans import CURRENT
from rag.telemetry.told import REQUEST_ID


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
        [structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False)]
        if as_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def _name_place(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Which request this belongs to, and where in its trace."""
    if request_id := REQUEST_ID.get():
        event["request_id"] = request_id
    span = CURRENT.get()
    if span is not None:
        event["trace_id"] = f"{span.trace.id:032x}"
        event["span_id"] = f"{span.id:016x}"
    return event
