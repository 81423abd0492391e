"""What was handed in, as it waits: a draft, or a file that a worker is still to read."""

from hashlib import blake2b

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ingest.draft import Draft
from ingest.parse.parsed import Parsed


class File(Struct, frozen=True, kw_only=True):
    """The bytes of a file, and a name that says of what type it is."""

    name: str
    data: bytes


class Handed(Struct, frozen=True, kw_only=True):
    """A draft, whose text is in the file if there is one."""

    draft: Draft
    file: File | None = None

    def read(self, parsed: Parsed) -> Draft:
        """The draft with what was found in the file; what was said beside it counts more."""
        return replace(
            self.draft,
            text=parsed.text,
            title=self.draft.title or parsed.title,
            format=parsed.format,
            pages=tuple(parsed.pages),
            metadata={**parsed.metadata, **self.draft.metadata},
        )


def packed(handed: Handed) -> bytes:
    """As it is kept."""
    return msgspec.msgpack.encode(handed)


def fingerprint(body: bytes) -> str:
    """Tells what was handed in from what else was."""
    return blake2b(body, digest_size=16).hexdigest()


def unpacked(body: bytes) -> Handed:
    """As it was handed in."""
    return msgspec.msgpack.decode(body, type=Handed)
