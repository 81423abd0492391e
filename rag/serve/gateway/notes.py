"""What Groundwire adds to an answer in another API's shape."""

from msgspec import UNSET, Struct, UnsetType


class Notes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters that the provider has no place for, and stages that did less than they were asked to."""

    dropped: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


def notes_of(dropped: tuple[str, ...], degraded: tuple[str, ...]) -> Notes | UnsetType:
    """The notes, where there is anything to say."""
    return Notes(dropped=dropped, degraded=degraded) if dropped or degraded else UNSET
