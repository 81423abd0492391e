"""Which accounts a key draws on."""

from collections.abc import Iterable, Mapping

from rag.base.errors import ConfigError
from rag.govern.allowance import Accounts, Allowance, accounts_of
from rag.govern.keys import LOCAL_ID, KeyConfig


class AccountBook:
    """The accounts of every key, by the key's id. Raises ConfigError for a key on an account that is not configured."""

    def __init__(self, keys: Iterable[KeyConfig] = (), configured: Mapping[str, Allowance] | None = None) -> None:
        self._accounts: Mapping[str, Accounts] = {}
        self._subjects: Mapping[str, str] = {}
        self.exchange(keys, configured or {})

    def of(self, key_id: str) -> Accounts:
        """From the organisation down to the key; empty for a key without any, and for the local principal."""
        return self._accounts.get(key_id, ())

    def subject(self, key_id: str) -> str:
        """Who holds the key; "local" where there are no keys."""
        return self._subjects.get(key_id, LOCAL_ID)

    def exchange(self, keys: Iterable[KeyConfig], configured: Mapping[str, Allowance]) -> None:
        """Goes by those keys and allowances from now on. Raises ConfigError, and then nothing has changed."""
        known = tuple(keys)
        self._accounts = _accounts(known, configured)
        self._subjects = {key.id: key.subject for key in known}


def _accounts(keys: Iterable[KeyConfig], configured: Mapping[str, Allowance]) -> dict[str, Accounts]:
    found = {}
    for key in keys:
        if key.account is not None and key.account not in configured:
            raise ConfigError(
                f"the key '{key.id}' belongs to the account '{key.account}', which is not under [accounts]",
                path="accounts",
            )
        found[key.id] = accounts_of(key.follows or key.id, key.account, key.allowance, configured)
    return found
