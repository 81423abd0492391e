"""What Groundwire adds to an answer in another API's shape."""

from msgspec import UNSET, Struct, UnsetType

from rag.base.answers import Recall
from rag.serve.wire import RecallBody, convert


class Notes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters that the provider has no place for, stages that did less than asked, and what came from memory."""

    dropped: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    cache: RecallBody | None = None


def notes_of(dropped: tuple[str, ...], degraded: tuple[str, ...], cache: Recall | None = None) -> Notes | UnsetType:
    """The notes, where there is anything to say."""
    told = convert(cache, RecallBody) if cache and cache.status != "off" else None
    return Notes(dropped=dropped, degraded=degraded, cache=told) if dropped or degraded or told else UNSET
