"""Any file to text."""

from ingest.parse.archive import require_bounded
from ingest.parse.decode import decode
from ingest.parse.formats import format_of, suffix
from ingest.parse.markdown import parse_markdown
from ingest.parse.office import parse_html, parse_office
from ingest.parse.parsed import Parsed
from rag.base.errors import PermanentIngestError

_HEAD_BYTES = 4096


def parse(data: bytes, name: str) -> Parsed:
    """The text of the file of that name. Raises PermanentIngestError with what is wrong with it."""
    kind = format_of(name, data[:_HEAD_BYTES])
    if not data:
        raise PermanentIngestError("the file is empty")
    if kind is None:
        raise PermanentIngestError(f"files of the type '.{suffix(name)}' are not supported")
    match kind.reader:
        case "office":
            require_bounded(data)
            return parse_office(data, kind)
        case "html":
            parsed = parse_html(decode(data), kind)
        case "markdown":
            parsed = parse_markdown(decode(data))
        case "text":
            parsed = Parsed(text=decode(data), format=kind.name)
    if not parsed.text.strip():
        raise PermanentIngestError("the file holds nothing but white space")
    return parsed
