"""The keys file: a JSON list of keys, read whole and replaced whole."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from rag.base.errors import ConfigError, NotFound
from rag.govern.keys import KeyConfig, new_key

Keys = tuple[KeyConfig, ...]


def read_keys(file: Path) -> Keys:
    """The keys in the file. Raises ConfigError that names the place of a fault."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Keys)
    except OSError as error:
        raise ConfigError(f"the keys file {file} cannot be read: {error.strerror}", path="keys") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the keys file {file} is not valid: {error}", path="keys") from error


def change_keys(file: Path, change: Callable[[Keys], Keys]) -> None:
    """Writes the file anew, readable by this user only; it is made if it is not there. Raises ConfigError."""
    kept = read_keys(file) if file.exists() else ()
    changed = msgspec.json.format(msgspec.json.encode(change(kept)), indent=2) + b"\n"
    temporary = file.with_suffix(file.suffix + ".tmp")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(changed)
        temporary.replace(file)
    except OSError as error:
        raise ConfigError(f"the keys file {file} cannot be written: {error.strerror}") from error


def revoked(keys: Keys, key_id: str) -> Keys:
    """All keys but this one. Raises NotFound."""
    _find(keys, key_id)
    return tuple(key for key in keys if key.id != key_id)


def rotated(keys: Keys, key_id: str, now: datetime, overlap: timedelta) -> tuple[str, Keys]:
    """A fresh token that takes the key's place, and the keys with both: the old one ends after `overlap`.

    The new key goes on with the old one's allowance. Raises NotFound.
    """
    old = _find(keys, key_id)
    token, made = new_key(old.subject)
    heir = msgspec.structs.replace(old, id=made.id, hash=made.hash, follows=old.follows or old.id)
    ends_at = min(now + overlap, old.expires_at) if old.expires_at else now + overlap
    ending = msgspec.structs.replace(old, expires_at=ends_at)
    return token, (*(ending if key.id == key_id else key for key in keys), heir)


def _find(keys: Keys, key_id: str) -> KeyConfig:
    for key in keys:
        if key.id == key_id:
            return key
    raise NotFound(f"there is no key '{key_id}' in this file; `rag keys list` shows which there are")
