"""From who is asking to what may be touched: the only place where an `Access` is made."""

from collections.abc import Mapping
from typing import Final

from rag.base.errors import Forbidden
from rag.base.types import EVERYONE, Access, Principal, Scope

GRANT = r"^(everyone|(user|group):.{1,200})$"
"""What an entry of an acl looks like; nobody holds any other."""

GRANTED_BY: Final[Mapping[Scope, frozenset[Scope]]] = {
    "read": frozenset({"read", "admin"}),
    "write": frozenset({"write", "admin"}),
    "admin": frozenset({"admin"}),
    "metrics": frozenset({"metrics", "operator"}),
    "operator": frozenset({"operator"}),
}
"""By what a key holds: an admin all that there is within its tenant, an operator what concerns the whole server."""


def readable_by(principal: Principal) -> Access:
    """What the principal may read: documents of its tenant whose acl grants it, a group of its, or everyone."""
    groups = {f"group:{group}" for group in principal.groups}
    return Access(tenant=principal.tenant, grants=frozenset({EVERYONE, f"user:{principal.subject}"} | groups))


def managed_in(tenant: str) -> Access:
    """Every document of the tenant, for ingestion: it must see a document to replace it."""
    return Access(tenant=tenant, grants=None)


def permits(access: Access, tenant: str, acl: tuple[str, ...]) -> bool:
    """Whether `access` covers a document. An empty acl admits nobody but those who maintain the tenant."""
    return access.tenant == tenant and (access.grants is None or not access.grants.isdisjoint(acl))


def require(principal: Principal, *scopes: Scope) -> None:
    """Raises Forbidden unless the principal holds one of the scopes, or one that grants it."""
    if all(GRANTED_BY[scope].isdisjoint(principal.scopes) for scope in scopes):
        needed, held = " or ".join(f"'{scope}'" for scope in scopes), ", ".join(sorted(principal.scopes))
        raise Forbidden(f"this needs a key with the scope {needed}; yours has: {held}")
