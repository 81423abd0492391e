"""POST /v1/responses: the same as chat completions, in the shape of OpenAI's newer API. Nothing is stored."""

import time

import msgspec

from rag.serve.gateway.call import Api, Call, Work
from rag.serve.gateway.said import whole
from rag.serve.gateway.talk import talk
from rag.serve.gateway.written import written
from rag.serve.openai.errors import respond, response_error_event
from rag.serve.openai.responses_body import ResponsesBody, prompt_of
from rag.serve.openai.responses_events import ResponseWriter
from rag.serve.openai.responses_reply import begun, ended, items_of
from rag.serve.replies import Reply

RESPONSES = Api(respond=respond, event=response_error_event)


def responses(call: Call, body: ResponsesBody) -> Work:
    """The answer, as one object or as its events. Raises InvalidInput, NotFound."""
    events = talk(call, body.model, prompt_of(body, call.principal), stream=bool(body.stream))
    response = begun(f"resp_{call.request_id}", int(time.time()), body)
    if body.stream:
        return written(events, ResponseWriter(response))

    async def answer() -> Reply:
        said = await whole(events)
        items = items_of(response.id, said)
        return Reply(body=msgspec.json.encode(ended(response, items, said.usage, said.finished, said.degraded)))

    return answer()
