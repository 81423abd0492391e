"""PDF, office files, mail, books and web pages, read by kreuzberg."""

import re
from collections.abc import Mapping
from html import unescape

import kreuzberg

from ingest.headings import first_heading
from ingest.parse.formats import Format
from ingest.parse.mail import plain_body
from ingest.parse.pages import page_starts
from ingest.parse.parsed import Parsed
from ingest.parse.tidy import tidied
from rag.base.errors import PermanentIngestError
from rag.base.pages import Pages
from rag.base.types import Scalar

MAX_VALUE_CHARS = 500
MAX_VALUES = 32

_KEPT = (
    "authors",
    "created_at",
    "modified_at",
    "language",
    "subject",
    "keywords",
    "page_count",
    "slide_count",
    "sheet_names",
    "from_email",
    "to_emails",
    "attachments",
)
_NO_TITLES = frozenset({"", "untitled", "powerpoint presentation", "document", "title", "slide 1"})
_PROGRAM = re.compile(r"^Microsoft (?:Word|PowerPoint|Excel) - ")

# None of these looks beyond the next opening tag of its kind: a page of nothing but such tags would take hours.
_HEAD = re.compile(
    "|".join([*(rf"<{tag}\b(?:(?!<{tag}\b).)*?</{tag}\s*>" for tag in ("head", "title", "svg")), r"<meta\b[^<>]*>"]),
    re.DOTALL | re.IGNORECASE,
)
_TITLE = re.compile(r"<title\b[^<>]*>((?:(?!<title\b).)*?)</title\s*>", re.DOTALL | re.IGNORECASE)
_LANGUAGE = re.compile(r"<html\b[^<>]*\blang\s*=\s*[\"']?([A-Za-z-]{2,12})", re.IGNORECASE)


def parse_office(data: bytes, kind: Format) -> Parsed:
    """The file as Markdown. Raises PermanentIngestError that says what is wrong with it."""
    result = _extract(data, kind)
    text = tidied(result.content)
    if not text.strip() and kind.name == "eml":
        text = plain_body(data)
    if not text.strip():
        raise PermanentIngestError(_no_text(kind, result.metadata.get("page_count")))
    metadata = _metadata(result.metadata)
    title = _title(result.metadata) or first_heading(text) or ""
    return Parsed(text=text, format=kind.name, title=title, metadata=metadata, pages=_pages(text, result))


def parse_html(html: str, kind: Format) -> Parsed:
    """A page as Markdown. What its head says would stand in the text, so it is taken off first."""
    found = _TITLE.search(html)
    title = " ".join(unescape(found.group(1)).split()) if found else ""
    language = _LANGUAGE.search(html)
    result = _extract(_HEAD.sub("", html).encode("utf-8", "replace"), kind)
    text = tidied(result.content)
    if not text.strip():
        raise PermanentIngestError("the page holds no text without its scripts")
    metadata: dict[str, Scalar | tuple[str, ...]] = {"language": language.group(1)} if language else {}
    return Parsed(text=text, format=kind.name, title=title or first_heading(text) or "", metadata=metadata)


def _extract(data: bytes, kind: Format, *, pages: bool = True) -> kreuzberg.ExtractionResult:
    config = kreuzberg.ExtractionConfig(
        output_format="markdown",
        use_cache=False,
        pages=kreuzberg.PageConfig(extract_pages=True) if pages and kind.name == "pdf" else None,
        enable_quality_processing=False,
        disable_ocr=True,  # type: ignore[call-arg]  # 4.10 takes it, its stub does not know it
    )
    try:
        return kreuzberg.extract_bytes_sync(data, kind.media_type, config=config)
    except (kreuzberg.KreuzbergError, RuntimeError, OSError, ValueError) as error:
        if pages and "page boundaries" in str(error):  # a page tree without pages: its words can still be read
            return _extract(data, kind, pages=False)
        raise PermanentIngestError(_reason(str(error), kind)) from error


def _pages(text: str, result: kreuzberg.ExtractionResult) -> Pages:
    return page_starts(text, [(page["page_number"], page["content"]) for page in result.pages or ()])


def _reason(message: str, kind: Format) -> str:
    lower = message.lower()
    if "password" in lower or "encrypted" in lower:
        return "it is protected with a password"
    if "unsupported" in lower:
        return f"it is a kind of {kind.name} that is not supported"
    detail = message.splitlines()[0].removeprefix("ParsingError: ")[:200]
    return f"it is not a valid {kind.name} file: {detail}"


def _no_text(kind: Format, page_count: object) -> str:
    if kind.name == "pdf":
        pages = (
            "its 1 page holds"
            if page_count == 1
            else f"its {page_count} pages hold"
            if page_count
            else "its pages hold"
        )
        return f"{pages} no text, only pictures (scanned?); run OCR on it first"
    return "it holds no text"


def _title(metadata: Mapping[str, object]) -> str:
    for name in ("title", "subject") if metadata.get("format_type") == "email" else ("title",):
        title = " ".join(_PROGRAM.sub("", str(metadata.get(name) or "")).split())
        if title.lower() not in _NO_TITLES and not title.lower().endswith((".htm", ".html", ".doc", ".docx", ".indd")):
            return title[:MAX_VALUE_CHARS]
    return ""


def _metadata(metadata: Mapping[str, object]) -> dict[str, Scalar | tuple[str, ...]]:
    kept: dict[str, Scalar | tuple[str, ...]] = {}
    for name in _KEPT:
        value = metadata.get(name)
        if isinstance(value, str) and value.strip():
            kept[name] = value.strip()[:MAX_VALUE_CHARS]
        elif isinstance(value, int) and value:
            kept[name] = value
        elif isinstance(value, list) and value:
            kept[name] = tuple(str(each)[:MAX_VALUE_CHARS] for each in value[:MAX_VALUES])
    return kept
