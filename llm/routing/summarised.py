"""A route that has a history summarised, where that is longer than the route sends on."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator

from msgspec.structs import replace

from llm.routing.folding import Fold, folded, summarised
from llm.routing.summariser import Summariser
from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError, for_the_log
from rag.base.events import Closing
from rag.base.ports import ChatModel
from rag.base.types import HISTORY_DETAILS, HISTORY_SUMMARY, Finished, ModelEvent, Prompt

_log = logging.getLogger(__name__)


class SummarisedRoute:
    """A `ChatModel` around a route. Without a summary the route gets the prompt as it is, and cuts it."""

    def __init__(self, route: ChatModel, summariser: Summariser, history_tokens: int) -> None:
        self.name = route.name
        self._route = route
        self._summariser = summariser
        self._history_tokens = history_tokens

    def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. Finished names `history_details` as dropped, or `history_summary` where there is none."""
        fold = folded(prompt, self._history_tokens, self._summariser.config.max_tokens)
        return self._folded(fold, prompt, deadline) if fold else self._route.stream(prompt, deadline)

    async def _folded(self, fold: Fold, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        dropped = HISTORY_DETAILS
        try:
            summary = await self._summariser.summary_of(fold, prompt, deadline)
        except GroundwireError as error:
            _log.warning("the history is cut, as it could not be summarised: %s", for_the_log(error))
            dropped = HISTORY_SUMMARY
        else:
            prompt = summarised(prompt, fold, summary)
        async with Closing(self._route.stream(prompt, deadline)) as events:
            async for event in events:
                yield replace(event, dropped=(*event.dropped, dropped)) if isinstance(event, Finished) else event
