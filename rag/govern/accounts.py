"""Which accounts a key draws on."""

from collections.abc import Iterable, Mapping

from rag.base.errors import ConfigError
from rag.govern.allowance import Account, Accounts, Allowance, accounts_of
from rag.govern.keys import KeyConfig


class AccountBook:
    """The accounts of every key, by the key's id. Raises ConfigError for a key on an account that is not configured."""

    def __init__(self, keys: Iterable[KeyConfig] = (), configured: Mapping[str, Allowance] | None = None) -> None:
        known = configured or {}
        self._accounts: dict[str, Accounts] = {}
        for key in keys:
            if key.account is not None and key.account not in known:
                raise ConfigError(
                    f"the key '{key.id}' belongs to the account '{key.account}', which is not under [accounts]",
                    path="accounts",
                )
            self._accounts[key.id] = accounts_of(key.follows or key.id, key.account, key.allowance, known)

    def of(self, key_id: str) -> Accounts:
        """From the organisation down to the key; empty for a key without any, and for the local principal."""
        return self._accounts.get(key_id, ())

    @property
    def has_budgets(self) -> bool:
        """Whether there is money to count."""
        return any(account.allowance.budget_usd is not None for account in self._all())

    def _all(self) -> Iterable[Account]:
        return (account for accounts in self._accounts.values() for account in accounts)
