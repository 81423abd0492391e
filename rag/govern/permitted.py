"""Answers for those who may ask the model: checked before anything is searched, or remembered."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from rag.base.answers import Answer, AnswerEvent
from rag.base.deadline import Deadline
from rag.base.ports import Answers
from rag.base.types import Query
from rag.govern.accounts import AccountBook
from rag.govern.allowance import permit_model


class PermittedAnswers:
    """Answers from `answers`, to keys that may ask the model that the query names; `default` where it names none.

    `free` is a model that everybody may ask.
    """

    def __init__(self, answers: Answers, book: AccountBook, *, default: str, free: str) -> None:
        self._answers = answers
        self._book = book
        self._default = default
        self._free = free

    def recall(self, query: Query) -> Answer | None:
        """See the port."""
        self._check(query)
        return self._answers.recall(query)

    async def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """See the port. Raises also Forbidden."""
        self._check(query)
        async with aclosing(self._answers.answer(query, deadline, stream=stream)) as events:
            async for event in events:
                yield event

    def _check(self, query: Query) -> None:
        model = query.model or self._default
        if model != self._free:
            permit_model(self._book.of(query.principal.key_id), model)
