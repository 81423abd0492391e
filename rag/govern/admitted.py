"""A model of this process, whose work counts among what is worked on."""

from collections.abc import AsyncIterator

from rag.base.deadline import Deadline
from rag.base.events import Closing
from rag.base.ports import ChatModel
from rag.base.types import ModelEvent, Prompt
from rag.govern.admission import Admission


class AdmittedModel:
    """A `ChatModel` around one that works here. Nobody is refused so late; waiting for a remote model takes no room."""

    def __init__(self, model: ChatModel, admission: Admission) -> None:
        self._model = model
        self._admission = admission
        self.name = model.name

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port."""
        with self._admission.continued(prompt.tenant):
            async with Closing(self._model.stream(prompt, deadline)) as events:
                async for event in events:
                    yield event
