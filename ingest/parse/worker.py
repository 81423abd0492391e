"""The process that parses files: `python -m ingest.parse.worker MEMORY_BYTES`, one request after another on stdin.

Parsers read hostile files in native code, so they run where nothing is lost when they hang, leak or crash. The process
limits itself: memory by RLIMIT_DATA, and its CPU time for each file, so that it ends even if nobody is left to kill it.
"""

import math
import os
import resource
import sys

import msgspec

from ingest.parse.parse import parse
from ingest.parse.parsed import Parsed
from ingest.parse.wire import LENGTH, OUT_OF_MEMORY, Done, Refused, Reply, Request, frame
from ingest.regular import open_regular
from rag.base.errors import IngestError, PermanentIngestError, TransientIngestError
from rag.base.priority import BULK, step_back


def main() -> None:
    """Answers requests until stdin ends."""
    step_back(BULK)
    _limit_memory(int(sys.argv[1]))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a parser prints must not end up between the replies
    requests = sys.stdin.buffer
    while (header := requests.read(LENGTH.size)) and len(header) == LENGTH.size:
        body = requests.read(LENGTH.unpack(header)[0])
        replies.write(frame(answer(msgspec.msgpack.decode(body, type=Request))))
        replies.flush()


def answer(request: Request) -> Reply:
    """The reply to one request; nothing that a parser raises gets past this."""
    try:
        _limit_cpu(request.timeout_s)
        return Done(parsed=_short(parse(_read(request), request.name), request.max_chars))
    except IngestError as error:
        return Refused(reason=str(error), transient=isinstance(error, TransientIngestError))
    except OSError as error:
        return Refused(reason=f"it cannot be read: {error.strerror or type(error).__name__}", transient=True)
    except Exception as error:  # noqa: BLE001 - the seam to parsers that may raise anything
        return Refused(reason=_fault(error))
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a panic of native code; pyo3 gives no way to import its class
            raise
        return Refused(reason="the parser broke down over it")


def _fault(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return f"the parser failed with {type(error).__name__}"


def _read(request: Request) -> bytes:
    if request.path is None:
        return _within(request.data or b"", request.max_bytes)
    with open_regular(os.fsdecode(request.path)) as file:
        return _within(file.read(request.max_bytes + 1), request.max_bytes)


def _within(data: bytes, n_bytes: int) -> bytes:
    if len(data) > n_bytes:
        raise PermanentIngestError(f"it is larger than the {n_bytes} bytes that max_file_bytes allows")
    return data


def _short(parsed: Parsed, n_chars: int) -> Parsed:
    """What is too long is not even handed over, which would take several times its size."""
    if len(parsed.text) > n_chars:
        raise PermanentIngestError(f"it holds {len(parsed.text)} characters, and max_text_chars allows {n_chars}")
    return parsed


def _limit_memory(n_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))


def _limit_cpu(timeout_s: float) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    n_cores = os.cpu_count() or 1
    limit_s = math.ceil(usage.ru_utime + usage.ru_stime + timeout_s * n_cores) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, hard))


if __name__ == "__main__":
    main()
