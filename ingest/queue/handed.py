"""What was handed in, as it waits."""

from hashlib import blake2b

import msgspec

from ingest.draft import Draft


def packed(draft: Draft) -> bytes:
    """As it is kept."""
    return msgspec.msgpack.encode(draft)


def unpacked(body: bytes) -> Draft:
    """As it was handed in."""
    return msgspec.msgpack.decode(body, type=Draft)


def fingerprint(body: bytes) -> str:
    """Tells what was handed in from what else was."""
    return blake2b(body, digest_size=16).hexdigest()
