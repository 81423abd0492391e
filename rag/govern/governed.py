"""A model behind its callers' allowances: which of them may ask it, and for how many tokens a minute."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from rag.base.deadline import Deadline
from rag.base.events import events_of
from rag.base.ports import ChatModel
from rag.base.types import ModelEvent, Prompt, Usage
from rag.govern.accounts import AccountBook
from rag.govern.allowance import permit_model
from rag.govern.meters import Meters


class GovernedModel:
    """A ChatModel under the name `alias`, which is what lists of models mean."""

    def __init__(self, alias: str, model: ChatModel, book: AccountBook, meters: Meters) -> None:
        self._alias = alias
        self._model = model
        self._book = book
        self._meters = meters

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._model.name

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. Raises also Forbidden and QuotaExceeded.

        Taken are the tokens of the prompt and all that may be written; what was not written is given back.
        """
        accounts = self._book.of(prompt.key_id)
        permit_model(accounts, self._alias)
        taken = prompt.n_tokens + (prompt.max_tokens or 0)
        self._meters.take(accounts, "tokens", taken)
        used = 0
        try:
            async with aclosing(events_of(self._model, prompt, deadline)) as events:
                async for event in events:
                    if isinstance(event, Usage):
                        used = event.input_tokens + event.output_tokens
                    yield event
        finally:
            self._meters.give_back(accounts, "tokens", taken - (used or prompt.n_tokens))
