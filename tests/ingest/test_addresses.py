from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.addresses import is_public, require_fetchable
from rag.base.errors import PermanentIngestError


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001::1"),
    ],
)
def test_what_only_this_network_reaches_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_the_open_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_within_another_counts_like_itself(address: IPv4Address) -> None:
    assert is_public(ip_address(f"::ffff:{address}")) is is_public(address)
    assert is_public(ip_address(f"64:ff9b::{address}")) is is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://x.org/a", "gopher://x.org", "http://", "http:///a", "https://[::1", "x.org/a"),
        *(
            "http://user:secret@x.org/",
            "http://x.org:0/",
            "http://x.org:99999/",
            "http://127.0.0.1/",
            "http://[::1]:80/",
        ),
        *(
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://0x7f000001/",
            "http://0x7F.1/",
            "http://127.1./",
            "http://0/",
        ),
        *("http://169.254.169.254/latest/meta-data/", "http://[::ffff:10.0.0.1]/", "http://[fe80::1%25eth0]/"),
    ],
)
def test_such_urls_are_not_fetched(url: str) -> None:
    with pytest.raises(PermanentIngestError) as refusal:
        require_fetchable(url, allow_private=False)
    assert "secret" not in str(refusal.value)


def is_fetched(url: str, *, allow_private: bool) -> bool:
    try:
        require_fetchable(url, allow_private=allow_private)
    except PermanentIngestError:
        return False
    return True


def test_private_addresses_can_be_allowed() -> None:
    private, public = "http://127.0.0.1:8000/a", "https://1.example.x0x1/a?b=c"
    assert [is_fetched(private, allow_private=allowed) for allowed in (False, True)] == [False, True]
    assert [is_fetched(public, allow_private=allowed) for allowed in (False, True)] == [True, True]
