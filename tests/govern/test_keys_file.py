import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from rag.base.errors import ConfigError, NotFound, Unauthenticated
from rag.govern.accounts import AccountBook
from rag.govern.allowance import Allowance
from rag.govern.keys import KeyConfig, KeyRing, new_key
from rag.govern.keys_file import change_keys, read_keys, revoked, rotated

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_keys_are_read_from_a_file(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([{"id": "abcd1234", "hash": "0" * 64, "subject": "ci", "scopes": ["write"]}]))
    assert read_keys(path) == (KeyConfig(id="abcd1234", hash="0" * 64, subject="ci", scopes=frozenset({"write"})),)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'[{"id": "abcd", "hash": "00", "subject": "x"}]', r"\$\[0\]\.hash"),
        (b'[{"id": "a_b_c", "hash": "00", "subject": "x"}]', r"\$\[0\]\.id"),
        (b'[{"id": "abcd", "scopes": ["root"]}]', r"scopes"),
        (b"[", "truncated"),
        (b'["\xff"]', "valid"),
    ],
)
def test_a_fault_in_the_file_is_named(tmp_path, content, place):
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=place):
        read_keys(path)


def test_a_missing_file_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none.json")


def test_a_change_replaces_the_file_for_its_owner_only(tmp_path):
    file, (_, key) = tmp_path / "keys.json", new_key("ann")
    change_keys(file, lambda kept: (*kept, key))
    change_keys(file, lambda kept: (*kept, new_key("bob")[1]))
    assert [one.subject for one in read_keys(file)] == ["ann", "bob"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "keys.json"
    change_keys(file, lambda kept: (*kept, new_key("ann")[1]))
    before = file.read_bytes()
    with pytest.raises(NotFound, match="there is no key 'none1'"):
        change_keys(file, lambda kept: revoked(kept, "none1"))
    assert file.read_bytes() == before


def test_the_old_key_opens_until_the_overlap_ends_and_the_new_one_on():
    old_token, old = new_key("ann", tenant="acme", groups=["staff"])
    new_token, keys = rotated((old,), old.id, NOW, timedelta(hours=24))
    during, after = (KeyRing(keys, now=lambda at=NOW + timedelta(hours=h): at) for h in (23, 24))
    assert during.authenticate(old_token).tenant == during.authenticate(new_token).tenant == "acme"
    assert after.authenticate(new_token).groups == {"staff"}
    with pytest.raises(Unauthenticated, match="expired"):
        after.authenticate(old_token)


def test_rotating_never_lengthens_a_life():
    _, key = new_key("ann")
    ending = msgspec.structs.replace(key, expires_at=NOW + timedelta(hours=1))
    _, (old, heir) = rotated((ending,), key.id, NOW, timedelta(hours=24))
    assert old.expires_at == heir.expires_at == NOW + timedelta(hours=1)


def test_a_rotated_key_goes_on_with_its_budget():
    _, first = new_key("ann")
    first = msgspec.structs.replace(first, allowance=Allowance(budget_usd=1))
    _, keys = rotated((first,), first.id, NOW, timedelta())
    _, keys = rotated(keys, keys[-1].id, NOW, timedelta())
    book = AccountBook(keys)
    assert {book.of(key.id)[0].name for key in keys} == {f"key:{first.id}"}


def test_a_revoked_key_opens_nothing():
    token, key = new_key("ann")
    ring = KeyRing(revoked((key, new_key("bob")[1]), key.id))
    with pytest.raises(Unauthenticated):
        ring.authenticate(token)
