"""Leases: names that one holder has at a time, until it gives them back or stops renewing them."""

from collections.abc import Sequence

from rag.base.errors import Conflict
from rag.records.connection import Connection, Row

_TAKE = """
INSERT INTO leases (name, holder, until_s) VALUES (:name, :holder, :until_s)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_s = excluded.until_s
WHERE leases.holder = excluded.holder OR leases.until_s < :now_s
"""


def take(connection: Connection, names: Sequence[str], holder: str, now_s: float, until_s: float) -> None:
    """Gives the holder all of the names. Raises Conflict, and then nothing has changed, where others have one."""
    row: Row = {"holder": holder, "now_s": now_s, "until_s": until_s}
    for name in sorted(names):  # in this order by everyone, so that no two wait for each other
        if not connection.change(_TAKE, {**row, "name": name}):
            raise Conflict(f"'{name}' is leased to another")


def renew(connection: Connection, holder: str, now_s: float, until_s: float) -> int:
    """Extends all that the holder still has, and says how many names that is."""
    row: Row = {"holder": holder, "now_s": now_s, "until_s": until_s}
    return connection.change("UPDATE leases SET until_s = :until_s WHERE holder = :holder AND until_s >= :now_s", row)


def give_back(connection: Connection, holder: str) -> None:
    """Ends all leases of the holder."""
    connection.change("DELETE FROM leases WHERE holder = :holder", {"holder": holder})


def is_held(connection: Connection, name: str, now_s: float) -> bool:
    """Whether anyone has the name."""
    values: Row = {"name": name, "now_s": now_s}
    return bool(connection.execute("SELECT 1 FROM leases WHERE name = :name AND until_s >= :now_s", values))
