"""Markdown files: kept as they are, but for the front matter."""

import re

from ingest.headings import first_heading
from ingest.parse.parsed import Parsed
from rag.base.types import Scalar

Entries = dict[str, Scalar | tuple[str, ...]]

_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FRONT_MATTER_CHARS = 2**14
_ENTRY = re.compile(r"([A-Za-z_][\w-]{0,63})[ \t]*:(?:[ \t]+(.*?))?[ \t]*$")
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*?)[ \t]*$")
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?$", re.ASCII)


def parse_markdown(text: str) -> Parsed:
    """The text without its front matter, titled by that or by its first heading.

    Front matter is taken off where every line of it is `key: value`, a list on one line or a list of `- item`s; else
    it stays in the text, for it is not ours to guess at.
    """
    match = _FRONT_MATTER.match(text[:_FRONT_MATTER_CHARS])
    entries = front_matter(match.group(1)) if match else None
    body = text[match.end() :] if match and entries is not None else text
    metadata = entries or {}
    title = metadata.pop("title", "")
    return Parsed(text=body, format="markdown", title=str(title) or first_heading(body) or "", metadata=metadata)


def front_matter(text: str) -> Entries | None:
    """The entries of simple YAML, or None where it is not that simple."""
    entries: Entries = {}
    open_list = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if open_list and (item := _ITEM.match(line)):
            entries[open_list] = (*_as_tuple(entries.get(open_list, ())), _unquoted(item.group(1)))
            continue
        entry = _ENTRY.match(line)
        if entry is None or _is_complex(entry.group(2) or ""):
            return None
        open_list = "" if entry.group(2) else entry.group(1)
        if entry.group(2):
            entries[entry.group(1)] = _value(entry.group(2))
    return entries


def _is_complex(value: str) -> bool:
    return value[:1] in tuple("{&*!|>%@`") or value.startswith("[") is not value.endswith("]")


def _value(text: str) -> Scalar | tuple[str, ...]:
    if text.startswith("["):
        return tuple(_unquoted(part) for part in text[1:-1].split(",") if part.strip())
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.match(text):
        return float(text) if "." in text else int(text)
    return _unquoted(text)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _as_tuple(value: Scalar | tuple[str, ...] | object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
