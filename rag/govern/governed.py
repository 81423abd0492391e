"""A model behind its callers' allowances: which of them may ask it, and for how many tokens a minute."""

import logging
from collections.abc import AsyncIterator

from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError, for_the_log
from rag.base.events import Closing
from rag.base.ports import ChatModel
from rag.base.types import ModelEvent, Prompt, Usage
from rag.govern.accounts import AccountBook
from rag.govern.allowance import Accounts, permit_model
from rag.govern.meters import Meters

_log = logging.getLogger(__name__)


class GovernedModel:
    """A ChatModel under the name `alias`, which is what lists of models mean; None where nobody asks for it by name."""

    def __init__(self, alias: str | None, model: ChatModel, book: AccountBook, meters: Meters) -> None:
        self._alias = alias
        self._model = model
        self._book = book
        self._meters = meters

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._model.name

    def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. Raises also Forbidden and QuotaExceeded.

        Taken are the tokens of the prompt and all that may be written; what was not written is given back.
        """
        accounts = self._book.of(prompt.key_id)
        return self._metered(accounts, prompt, deadline) if accounts else self._model.stream(prompt, deadline)

    async def _metered(self, accounts: Accounts, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        if self._alias is not None:
            permit_model(accounts, self._alias)
        taken = prompt.n_tokens + (prompt.max_tokens or 0)
        await self._meters.take(accounts, "tokens", taken)
        used = 0
        try:
            async with Closing(self._model.stream(prompt, deadline)) as events:
                async for event in events:
                    if isinstance(event, Usage):
                        used = event.input_tokens + event.output_tokens
                    yield event
        finally:
            await self._give_back(accounts, taken - (used or prompt.n_tokens))

    async def _give_back(self, accounts: Accounts, n_tokens: int) -> None:
        try:
            await self._meters.give_back(accounts, "tokens", n_tokens)
        except GroundwireError as error:  # the answer is there; the rate is too low for a minute at most
            _log.warning("tokens could not be given back: %s", for_the_log(error))
