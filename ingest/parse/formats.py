"""Which format a file has, by its name and its first bytes."""

from pathlib import PurePath
from typing import Final, Literal

from msgspec import Struct

Reader = Literal["markdown", "text", "html", "office"]


class Format(Struct, frozen=True):
    """A format by the name that `Document.format` gives it, who reads it, and its media type where one is needed."""

    name: str
    reader: Reader
    media_type: str = ""


TEXT: Final = Format("text", "text")
_OPEN: Final = "application/vnd.openxmlformats-officedocument."
_OFFICE: Final = {
    "pdf": "application/pdf",
    "docx": f"{_OPEN}wordprocessingml.document",
    "pptx": f"{_OPEN}presentationml.presentation",
    "xlsx": f"{_OPEN}spreadsheetml.sheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "xls": "application/vnd.ms-excel",
    "rtf": "application/rtf",
    "epub": "application/epub+zip",
    "eml": "message/rfc822",
    "msg": "application/vnd.ms-outlook",
    "rst": "text/x-rst",
    "org": "text/x-org",
    "ipynb": "application/x-ipynb+json",
}
_CODE: Final = """
    bash bat c cc cfg clj conf cpp cs css cxx dart diff dockerfile env erl ex exs f90 fish go gradle graphql groovy h hh
    hpp hs ini java jl js jsx kt kts less lua m makefile mjs ml mm nim patch php pl pm properties proto ps1 py pyi r rb
    rs sass scala scss sh sol sql svelte swift tcl tf toml ts tsx vb vim vue xml xsd xsl yaml yml zig zsh
"""
_BY_SUFFIX: Final = {
    **{name: Format(name, "office", media_type) for name, media_type in _OFFICE.items()},
    **{name: Format("code", "text") for name in _CODE.split()},
    **dict.fromkeys(("md", "markdown", "mdown", "mkd", "mdx"), Format("markdown", "markdown")),
    **dict.fromkeys(("html", "htm", "xhtml"), Format("html", "html", "text/html")),
    **dict.fromkeys(("csv", "tsv"), Format("csv", "text")),
    "json": Format("json", "text"),
    "txt": TEXT,
}
_SIGNED: Final = frozenset({"p7s", "p7m"})
"""S/MIME: a mail with its signature, or a signature alone in DER."""
JSON_LINES: Final = frozenset({"jsonl", "ndjson"})
"""Suffixes of files that hold one document in each line; `ingest.jsonl` reads them."""


_BY_MEDIA_TYPE: Final = {
    **{each.media_type: name for name, each in _BY_SUFFIX.items() if each.media_type and name not in {"htm", "xhtml"}},
    "application/xhtml+xml": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "application/json": "json",
}


def name_for(path: str, media_type: str) -> str:
    """A name that says of what type something is that came with a media type; where that says nothing, the path."""
    known = _BY_MEDIA_TYPE.get(media_type)
    # Hosts call much text/plain that its name knows better, such as Markdown and code.
    if known is None or (known == "txt" and suffix(path) in _BY_SUFFIX):
        return path
    return f"{path}.{known}"


def suffix(name: str) -> str:
    """The part after the last dot in lower case; of a name without one the whole name, as for "Makefile"."""
    path = PurePath(name)
    return (path.suffix[1:] or path.name).lower()


def format_of(name: str, head: bytes) -> Format | None:
    """The format, or None for one that is not read. A name that says nothing is text if its bytes look like text."""
    known = _BY_SUFFIX.get(suffix(name))
    if known is not None:
        return known
    if head.startswith(b"%PDF-"):
        return _BY_SUFFIX["pdf"]
    if suffix(name) in _SIGNED:
        return _BY_SUFFIX["eml"] if looks_like_text(head) else None
    return TEXT if looks_like_text(head) else None


def looks_like_text(head: bytes) -> bool:
    """Whether bytes are text: they begin with a byte order mark, or hold no control characters that text has not."""
    if head.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return True
    odd = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head)
    return odd == 0
