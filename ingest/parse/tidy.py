"""Clears converted Markdown of what carries no words and costs tokens.

The embedder's tokenizer makes one token of every punctuation mark, so the dashes under a table, the dots of a table of
contents and the address of a picture would crowd out the text of a chunk. Only text that a converter made comes here;
files that are text already are kept to the letter. No pattern may take time that grows with the square of the text.
"""

import re

_PICTURE = re.compile(r"!\[([^\[\]\n]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")
_EMPTY_LINK = re.compile(r"\[\s*\]\([^()\n]*\)")
_SCHEME = r"\s*".join  # browsers pass over blanks within
_ACTIVE_LINK = re.compile(
    rf"(?<=\]\()\s*(?:<\s*)?(?:{_SCHEME('javascript')}|{_SCHEME('vbscript')}|{_SCHEME('data')})\s*:", re.IGNORECASE
)
_EMBEDDED = re.compile(r"\bdata:[\w/+.-]+;base64,[A-Za-z0-9+/=]*")
_RULE_ROW = re.compile(r"^\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*$", re.MULTILINE)
_ROW = re.compile(r"^\|.*\|[ \t]*$", re.MULTILINE)
_DOTS = re.compile(r"(?:\.[ \t]?){5,}")
_BLANKS = re.compile(r"[ \t]{2,}")
_ESCAPE = re.compile(r"\\([!\"$%&'()*+,\-./:;<=>?@\[\]^_{}~])")
_LINE_ENDS = re.compile(r"(?<![ \t])[ \t]+(?=\n)|\r(?=\n)")
_GAPS = re.compile(r"\n{3,}")


def tidied(text: str) -> str:
    """The same words with pictures as captions, rows unpadded, escapes undone, gaps closed, no scripts in links."""
    text = text.replace("\0", "").replace("\r\n", "\n")
    text = _PICTURE.sub(r"\1", text)
    text = _EMPTY_LINK.sub("", text)
    text = _EMBEDDED.sub("", text)
    text = _RULE_ROW.sub(lambda row: re.sub(r"-+", "---", row.group()), text)
    text = _ROW.sub(lambda row: _BLANKS.sub(" ", row.group()), text)
    text = _DOTS.sub("... ", text)
    text = _ESCAPE.sub(r"\1", text)
    text = _ACTIVE_LINK.sub("#", text)  # after the escapes, which may hide one
    text = _LINE_ENDS.sub("", text)
    return _GAPS.sub("\n\n", text).strip("\n") + "\n" if text.strip() else ""
