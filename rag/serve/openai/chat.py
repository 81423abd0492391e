"""POST /v1/chat/completions: any model of this server, or the documents, asked as OpenAI's clients ask."""

import time

from rag.serve.gateway.call import Call, Work
from rag.serve.gateway.said import whole
from rag.serve.gateway.talk import talk
from rag.serve.gateway.written import written
from rag.serve.openai.chat_body import ChatBody, prompt_of, wish_of
from rag.serve.openai.chat_reply import ChunkWriter, Head, completion
from rag.serve.replies import Reply


def chat(call: Call, body: ChatBody) -> Work:
    """The answer, as one object or as chunks. Raises InvalidInput, NotFound."""
    prompt = prompt_of(body, call.principal)
    events = talk(call, body.model, prompt, stream=bool(body.stream), wish=wish_of(body))
    head = Head(f"chatcmpl-{call.request_id}", int(time.time()), body.model)
    if body.stream:
        asks_usage = bool(body.stream_options and body.stream_options.include_usage)
        return written(events, ChunkWriter(head, include_usage=asks_usage))

    async def answer() -> Reply:
        said = await whole(events)
        return Reply(body=completion(head, said))

    return answer()
