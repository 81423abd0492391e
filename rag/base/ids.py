"""Identifiers: derived where the same thing must get the same id again, random where it must not be guessed."""

import random
import secrets
import time
from hashlib import blake2b
from uuid import UUID


def digest(*parts: str) -> str:
    """BLAKE2b-128 over length-prefixed parts, as 32 hex digits: ("ab", "c") and ("a", "bc") differ."""
    state = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()


def document_id(tenant: str, uri: str) -> str:
    """The id of the document at `uri`: the same in every run, different in every tenant."""
    return digest("document", tenant, uri)


def chunk_id(document: str, version: str, ordinal: int) -> str:
    """The id of one chunk of one version of a document."""
    return digest("chunk", document, version, str(ordinal))


def as_uuid(identifier: str) -> str:
    """A derived id in the UUID spelling that vector stores ask for."""
    return str(UUID(hex=identifier))


def request_id() -> str:
    """A fresh id for one request."""
    return secrets.token_hex(16)


def ordered_id() -> str:
    """A fresh id that sorts after those made in earlier milliseconds, whoever made them."""
    return f"{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


def unique_id() -> str:
    """A fresh id that nobody else has, and that may be guessed: a tenth of what an unguessable one costs."""
    return f"{random.getrandbits(128):032x}"
