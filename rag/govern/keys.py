"""API keys: who holds one, what it opens, and how one is made.

A token is `gw_<id>_<secret>`. The secret has 256 bits of entropy, so its plain SHA-256 can be stored: there is nothing
to guess that a slow hash would protect. Only the hash is ever written down.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from typing import Annotated

from msgspec import Meta, Struct

from rag.base.errors import ConfigError, Unauthenticated
from rag.base.types import Principal, Scope
from rag.govern.allowance import AccountPath, Allowance

LOCAL_ID = "local"
_PREFIX = "gw_"
_LOCAL = Principal(subject="local", tenant="default", scopes=frozenset({"read", "write", "metrics"}))
_NO_HASH = "0" * 64

KeyId = Annotated[str, Meta(pattern="^[a-z0-9]{4,32}$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class KeyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key as settings or a keys file hold it. `hash` is the SHA-256 of the whole token in hex.

    What it uses counts for its `account` and those above it, and for its own `allowance`, which goes on when it
    `follows` an older key in its place.
    """

    id: KeyId
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    subject: Name
    tenant: Name = "default"
    groups: tuple[Name, ...] = ()
    scopes: frozenset[Scope] = frozenset({"read"})
    account: AccountPath | None = None
    allowance: Allowance = Allowance()
    follows: KeyId | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class KeyRing:
    """The keys that open the server. With none it admits one local principal, and `check_bind` keeps others out.

    Raises ConfigError when two keys share an id.
    """

    def __init__(self, keys: Iterable[KeyConfig] = (), now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._keys = _by_id(keys)

    def exchange(self, keys: Iterable[KeyConfig]) -> None:
        """Opens to those keys, and no others, from now on."""
        self._keys = _by_id(keys)

    def check_exchange(self, keys: "KeyRing") -> None:
        """Raises ConfigError where an exchange would leave the door open, or put the first lock on it."""
        if self.is_open != keys.is_open:
            what = "the first key was added" if self.is_open else "no key is left"
            raise ConfigError(f"{what}: this changes who is let in at all; restart the server", path="$.auth")

    @property
    def configs(self) -> tuple[KeyConfig, ...]:
        """The keys, in the order they were given."""
        return tuple(self._keys.values())

    @property
    def is_open(self) -> bool:
        """Whether there are no keys, so that whoever reaches the port is let in."""
        return not self._keys

    def authenticate(self, token: str | None) -> Principal:
        """The principal who holds the token. Raises Unauthenticated, which never says which part was wrong.

        The time it takes does not depend on how much of the token is right.
        """
        if self.is_open:
            return _LOCAL
        if not token:
            raise Unauthenticated("an API key is needed: send `Authorization: Bearer <key>` or `X-API-Key: <key>`")
        key = self._keys.get(_id_in(token))
        is_right = hmac.compare_digest(hash_of(token), key.hash if key else _NO_HASH)
        if key is None or not is_right:
            raise Unauthenticated("this API key is not known here; check that it was copied wholly")
        if key.expires_at is not None and self._now() >= key.expires_at:
            raise Unauthenticated(f"the API key '{key.id}' expired on {key.expires_at:%Y-%m-%d}; ask for a new one")
        return Principal(
            subject=key.subject, tenant=key.tenant, groups=frozenset(key.groups), scopes=key.scopes, key_id=key.id
        )


def _by_id(keys: Iterable[KeyConfig]) -> dict[str, KeyConfig]:
    found: dict[str, KeyConfig] = {}
    for key in keys:
        if key.id in found:
            raise ConfigError(f"two API keys have the id '{key.id}'; ids are unique", path="keys")
        found[key.id] = key
    return found


def new_key(
    subject: str, *, tenant: str = "default", groups: Iterable[str] = (), scopes: Iterable[Scope] = ("read",)
) -> tuple[str, KeyConfig]:
    """A fresh token, to be shown once, and what to keep of it."""
    identifier = secrets.token_hex(4)
    token = f"{_PREFIX}{identifier}_{secrets.token_urlsafe(32)}"
    key = KeyConfig(
        id=identifier,
        hash=hash_of(token),
        subject=subject,
        tenant=tenant,
        groups=tuple(groups),
        scopes=frozenset(scopes),
    )
    return token, key


def new_local_token() -> str:
    """A fresh token under the id `local`, for those on this machine who may read the data folder anyway."""
    return f"{_PREFIX}{LOCAL_ID}_{secrets.token_urlsafe(32)}"


def hash_of(token: str) -> str:
    """The SHA-256 of a token in hex."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def check_bind(host: str, keys: KeyRing) -> None:
    """Raises ConfigError when `host` can be reached from elsewhere and no key is asked for."""
    if keys.is_open and not is_loopback(host):
        raise ConfigError(
            f"refusing to listen on {host} without API keys: whoever reaches it could read and change every document; "
            "configure keys, or listen on 127.0.0.1",
            path="server.host",
        )


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether the address or name stands for this machine only. Names are not resolved: only `localhost` is known."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _id_in(token: str) -> str:
    return token.removeprefix(_PREFIX).partition("_")[0] if token.startswith(_PREFIX) else ""
