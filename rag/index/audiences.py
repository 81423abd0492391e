"""Who can see how many of the stored chunks, told by their tenant and acl alone.

Chunks of one tenant and one acl have the same audience: whoever sees one of them sees them all. There are few
audiences where there are many chunks, so what a caller may see can be said exactly and in few words.
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rag.base.types import Access
from rag.index.selection import Clause, OneOf, covers

MAX_CALLERS: Final = 1_024
"""Callers whose sight is remembered until the next change: a byte for each audience."""

Audience = tuple[str, frozenset[str]]
"""Tenant and acl."""


class Sight(Struct, frozen=True, eq=False):
    """What a caller sees: the audiences as a mask by number, the chunks that they have, and how to select those.

    Callers who see the same have equal clauses, whatever grants they hold: a store answers equal filters together.
    """

    audiences: NDArray[np.bool_]
    n_chunks: int
    clauses: tuple[Clause, ...]


class Audiences:
    """The audiences of a store's chunks. Reading is safe from several threads while nobody writes."""

    def __init__(self) -> None:
        self._numbers: dict[Audience, int] = {}
        self._n_chunks: list[int] = []
        self._sights: dict[Access, Sight] = {}

    def count(self, audience: Audience, n_chunks: int) -> int:
        """Counts so many chunks more (or fewer) of that audience, and gives its number, from 0."""
        self._sights.clear()
        number = self._numbers.setdefault(audience, len(self._n_chunks))
        if number == len(self._n_chunks):
            self._n_chunks.append(0)
        self._n_chunks[number] += n_chunks
        return number

    def seen_by(self, access: Access) -> Sight:
        """What the caller sees now."""
        sight = self._sights.get(access)
        if sight is None:
            if len(self._sights) >= MAX_CALLERS:
                self._sights.clear()
            sight = self._sights[access] = self._look(access)
        return sight

    def _look(self, access: Access) -> Sight:
        mask = np.array([covers(access, tenant, acl) for tenant, acl in self._numbers], dtype=np.bool_)
        n_chunks = sum(self._n_chunks[number] for number in np.flatnonzero(mask))
        present = [audience for audience, number in self._numbers.items() if self._n_chunks[number]]
        return Sight(mask, n_chunks, _fewest_clauses(access, present))


def _fewest_clauses(access: Access, present: list[Audience]) -> tuple[Clause, ...]:
    """What selects, among chunks of the audiences that are present, those that `visible` selects."""
    if all(covers(access, tenant, acl) for tenant, acl in present):
        return ()
    clauses: list[Clause] = []
    if any(tenant != access.tenant for tenant, _ in present):
        clauses.append((OneOf("tenant", (access.tenant,)),))
    acls = [acl for tenant, acl in present if tenant == access.tenant]
    if access.grants is not None and any(access.grants.isdisjoint(acl) for acl in acls):
        held = access.grants & frozenset[str]().union(*acls)
        clauses.append((OneOf("acl", tuple(sorted(held))),))
    return tuple(clauses)
