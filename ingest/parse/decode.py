"""Bytes to text, whatever they were written in."""

import codecs
import re

from charset_normalizer import from_bytes

from rag.base.errors import PermanentIngestError

_SAMPLE_BYTES = 2**16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\0-\x08]")
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)


def decode(data: bytes) -> str:
    """The text of a file, without its byte order mark and with its line ends as they are.

    In this order: a byte order mark, UTF-8, UTF-16 recognised by its zero bytes, the charset that HTML or XML declares
    near its beginning, and what charset-normalizer takes it for. Raises PermanentIngestError when it is no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data[len(mark) :], encoding)
    if b"\0" in data[:_SAMPLE_BYTES]:
        return _wide(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _guessed(data)


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise PermanentIngestError(f"it is not valid {encoding.upper()}: fault at byte {error.start}") from error


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: in Western text nearly every second byte is zero, always on the same side."""
    sample = data[:_SAMPLE_BYTES]
    n_pairs = len(sample) // 2 or 1
    first, second = sample[0::2].count(0) / n_pairs, sample[1::2].count(0) / n_pairs
    if max(first, second) > 0.4 and min(first, second) < 0.05:
        text = _strictly(data, "utf-16-le" if second > first else "utf-16-be")
        if not _CONTROL.search(text, 0, _SAMPLE_BYTES):
            return text
    raise PermanentIngestError("it is binary data, not text")


def _guessed(data: bytes) -> str:
    declared = _DECLARED.search(data[:2048])
    if declared:
        try:
            return data.decode(declared.group(1).decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            pass
    matches = from_bytes(data[:_SAMPLE_BYTES])
    best = matches.best()
    if best is None:
        raise PermanentIngestError("it is text in no known encoding, or no text; save it as UTF-8")
    # Western and Central European text look alike to it; what fits both is far more often Western.
    western = any(match.encoding == "cp1252" and match.chaos <= best.chaos for match in matches)
    return data.decode("cp1252" if western else best.encoding, errors="replace")
