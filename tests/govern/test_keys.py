import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import ConfigError, Unauthenticated
from rag.base.types import Principal
from rag.govern.keys import KeyConfig, KeyRing, check_bind, hash_of, new_key

TOKEN, KEY = new_key("ann", tenant="acme", groups=["staff"], scopes=["read", "write"])


def test_the_holder_of_a_token_becomes_its_principal():
    assert KeyRing([KEY]).authenticate(TOKEN) == Principal(
        subject="ann",
        tenant="acme",
        groups=frozenset({"staff"}),
        scopes=frozenset({"read", "write"}),
        key_id=KEY.id,
    )


def test_the_secret_is_not_kept():
    secret = TOKEN.rsplit("_", 1)[-1]
    assert secret not in json.dumps([KEY.hash, repr(KEY)])
    assert KEY.hash == hash_of(TOKEN)


NEARLY = {"only its id": f"gw_{KEY.id}_", "cut": TOKEN[:-1], "longer": TOKEN + "x", "upper case": TOKEN.upper()}
WRONG = {"none": None, "empty": "", "prefix": "gw_", "no id": "gw__"} | NEARLY


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG)
def test_anything_else_is_refused(token):
    with pytest.raises(Unauthenticated):
        KeyRing([KEY]).authenticate(token)


@given(st.text())
def test_no_text_opens_a_ring_by_chance(token):
    with pytest.raises(Unauthenticated):
        KeyRing([KEY]).authenticate(token)


def test_a_refusal_does_not_tell_an_unknown_id_from_a_wrong_secret():
    messages = set()
    for token in (f"gw_{KEY.id}_wrong", "gw_00000000_wrong"):
        with pytest.raises(Unauthenticated) as caught:
            KeyRing([KEY]).authenticate(token)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_key_ends_when_it_expires():
    token, key = new_key("bob")
    ends = datetime(2030, 1, 2, tzinfo=UTC)
    clock = [datetime(2030, 1, 1, tzinfo=UTC)]
    expiring = KeyConfig(id=key.id, hash=key.hash, subject="bob", expires_at=ends)
    ring = KeyRing([expiring], now=lambda: clock[0])
    assert ring.authenticate(token).subject == "bob"
    clock[0] = ends
    with pytest.raises(Unauthenticated, match="2030-01-02"):
        ring.authenticate(token)


def test_without_keys_there_is_one_local_principal():
    principal = KeyRing().authenticate(None)
    assert (principal.subject, principal.tenant) == ("local", "default")
    assert principal.scopes == {"read", "write", "metrics"}


def test_two_keys_with_one_id_are_a_mistake():
    with pytest.raises(ConfigError, match=KEY.id):
        KeyRing([KEY, KEY])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_keys(host):
    check_bind(host, KeyRing())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "", "localhost.example.org"])
def test_other_addresses_need_keys(host):
    with pytest.raises(ConfigError, match="without API keys"):
        check_bind(host, KeyRing())
    check_bind(host, KeyRing([KEY]))
