"""What an account may use: money, requests, tokens, models. An account is an organisation, a team, a project or a key.

Accounts form paths: a key of the project `acme/search/web` draws on `acme`, `acme/search`, `acme/search/web` and on
itself, and each of them that has an allowance must grant it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from msgspec import Meta, Struct

from rag.base.errors import Forbidden

Period = Literal["day", "week", "month", "total"]

AccountPath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,2}$")]
"""`organisation`, `organisation/team` or `organisation/team/project`."""

PerMinute = Annotated[int, Meta(ge=1)]

MICROUSD = 1_000_000
"""Micro-dollars in a dollar: money is counted in whole ones, so that sums are exact."""


class Allowance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that one account may use; what is absent is not limited.

    `budget_usd` is for each `period`, which begins at midnight UTC (a week's on Monday). `models` are names of models
    and routes, `*` stands for any characters; without it every model may be asked.
    """

    budget_usd: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    period: Period = "month"
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    models: tuple[str, ...] | None = None

    @property
    def budget_microusd(self) -> int | None:
        """The budget in whole micro-dollars."""
        return None if self.budget_usd is None else round(self.budget_usd * MICROUSD)


class Account(Struct, frozen=True):
    """An account by its name, with what it may use."""

    name: str
    allowance: Allowance


Accounts = tuple[Account, ...]
"""Those that one key draws on, from the organisation down to the key itself."""


def accounts_of(key_id: str, path: str | None, own: Allowance, configured: Mapping[str, Allowance]) -> Accounts:
    """The accounts with an allowance on the way from the organisation to the key."""
    parts = path.split("/") if path else []
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    named = [Account(name, configured[name]) for name in above if name in configured]
    return (*named, Account(f"key:{key_id}", own)) if own != Allowance() else tuple(named)


def permit_model(accounts: Iterable[Account], model: str) -> None:
    """Raises Forbidden unless every account that lists its models lists this one."""
    for account in accounts:
        listed = account.allowance.models
        if listed is not None and not any(fnmatchcase(model, pattern) for pattern in listed):
            raise Forbidden(f"the account '{account.name}' may not use the model '{model}'")


def period_of(period: Period, now: datetime) -> str:
    """The name of the period that `now` lies in, as in `2026-11-23`, `2026-W48`, `2026-11` or `total`."""
    day = now.astimezone(UTC)
    match period:
        case "day":
            return f"{day.year}-{day.month:02}-{day.day:02}"
        case "week":
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{day.year}-{day.month:02}"
        case "total":
            return "total"


def until_next(period: Period, now: datetime) -> float | None:
    """Seconds until the next period begins; None where there is none."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            start = day + timedelta(days=1)
        case "week":
            start = day + timedelta(days=7 - day.weekday())
        case "month":
            start = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        case "total":
            return None
    return (start - now).total_seconds()
