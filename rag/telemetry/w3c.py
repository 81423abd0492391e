"""The header by which traces of several programs become one: https://www.w3.org/TR/trace-context/ has its form."""

import re

from rag.telemetry.spans import Point, current

HEADER = "traceparent"

_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def parsed(header: str | None) -> Point | None:
    """Where the caller stands; None without a header, and for one that is not valid, which is to be ignored."""
    match = _FORM.fullmatch(header.strip()) if header else None
    if match is None or (match[1] == "00" and match[5]):  # later versions may have more parts, the first has not
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    return Point(trace_id, span_id, bool(int(match[4], 16) & 1)) if trace_id and span_id else None


def written(point: Point) -> str:
    """The header that tells others of `point`."""
    return f"00-{point.trace_id:032x}-{point.span_id:016x}-{'01' if point.is_sampled else '00'}"


def outgoing() -> dict[str, str]:
    """What a request to another program carries: the span that is open here, if one is."""
    point = current()
    return {} if point is None else {HEADER: written(point)}
