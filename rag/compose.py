"""The composition root: everything that serves is built, opened and closed here."""

from collections.abc import Mapping
from dataclasses import dataclass

from rag.base.health import Health
from rag.base.ports import ChatModel
from rag.govern.keys import KeyRing
from rag.govern.limits import Limits
from rag.index.filters import Fields
from rag.pipeline.answer import Answerer
from rag.pipeline.search import Searcher


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the front door needs, open and ready."""

    keys: KeyRing
    limits: Limits
    health: Health
    answerer: Answerer
    searcher: Searcher
    fields: Fields
    models: Mapping[str, ChatModel]
