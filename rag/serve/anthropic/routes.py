"""The routes for Anthropic's clients."""

from litestar.handlers import ASGIRouteHandler

from rag.compose import Services
from rag.serve.anthropic.errors import ANTHROPIC
from rag.serve.anthropic.messages_body import CountBody, MessagesBody, n_tokens_of, prompt_of
from rag.serve.anthropic.messages_reply import EventWriter, counted, message
from rag.serve.gateway.call import Call, Work, post
from rag.serve.gateway.said import whole
from rag.serve.gateway.talk import check_model, talk
from rag.serve.gateway.written import written
from rag.serve.replies import Reply


def anthropic_routes(services: Services) -> list[ASGIRouteHandler]:
    """The routes, over services that are open."""
    return [
        post("/v1/messages", ANTHROPIC, services, MessagesBody, messages),
        post("/v1/messages/count_tokens", ANTHROPIC, services, CountBody, count_tokens),
    ]


def messages(call: Call, body: MessagesBody) -> Work:
    """The answer, as one message or as its events. Raises InvalidInput, NotFound."""
    prompt = prompt_of(body, call.principal)
    events = talk(call, body.model, prompt, stream=bool(body.stream))
    message_id = f"msg_{call.request_id}"
    if body.stream:
        return written(events, EventWriter(message_id, body.model, prompt.n_tokens))

    async def answer() -> Reply:
        return Reply(body=message(message_id, body.model, await whole(events)))

    return answer()


def count_tokens(call: Call, body: CountBody) -> Work:
    """About how many tokens the model would read. Raises InvalidInput, NotFound."""
    check_model(call, body.model)

    async def answer() -> Reply:
        return Reply(body=counted(n_tokens_of(body)))

    return answer()
