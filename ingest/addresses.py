"""Which addresses of the network a document may be fetched from. Pure.

A url comes from whoever names sources. Without these rules it could reach what only this machine reaches: services on
loopback, neighbours in a private network, the metadata service of a cloud (169.254.169.254).
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from rag.base.errors import PermanentIngestError

SCHEMES: Final = ("http", "https")

_TRANSLATED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""NAT64: the last 32 bits are an IPv4 address."""

_ODD: Final = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)
"""A host that ends in a number is an IPv4 address in decimal, octal or hexadecimal parts (WHATWG URL)."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address is one of the open internet, also where it carries an IPv4 address within."""
    if isinstance(address, IPv6Address):
        if any(address in network for network in _TRANSLATED):
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def require_fetchable(url: str, *, allow_private: bool) -> None:
    """Raises PermanentIngestError for a url that is not to be asked for, as far as its text tells.

    What its name resolves to is checked when it is connected to.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise PermanentIngestError("it is not a url") from error
    if parts.scheme not in SCHEMES or not host or port == 0:
        raise PermanentIngestError("only http and https urls with a host are fetched")
    if parts.username is not None or parts.password is not None:
        raise PermanentIngestError("a url with a user name in it is not fetched: it would be stored with the document")
    if not allow_private:
        require_public(host)


def require_public(host: str) -> None:
    """Raises PermanentIngestError if the host is written as an address that is not public, or oddly."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        if _ODD.search(host):
            raise PermanentIngestError(
                "its host is an address in odd letters, which may be one that is not public"
            ) from None
        return
    if not is_public(address):
        raise PermanentIngestError(
            "it leads to an address that is not public; allow such with ingest.allow_private_addresses"
        )
