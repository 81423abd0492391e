"""The gateway's part of the published description: its routes are plain ASGI, which the framework cannot describe."""

from typing import Any

from msgspec import Struct

from rag.serve.anthropic.messages_body import CountBody, MessagesBody
from rag.serve.anthropic.messages_reply import Counted
from rag.serve.openai.chat_body import ChatBody
from rag.serve.openai.embeddings import EmbeddingsBody
from rag.serve.openai.models import ModelBody, ModelsBody
from rag.serve.openai.rerank import RerankBody, TeiRerankBody
from rag.serve.openai.responses_body import ResponsesBody

TAG = "models"

_REFUSALS = {
    400: "The input is not valid, or the provider refused it",
    401: "No valid key",
    403: "The key does not allow this",
    404: "There is no such model",
    413: "The body is too large",
    429: "A limit is reached; see Retry-After",
    502: "The provider failed",
    503: "Too busy, or the provider is not available",
    504: "The provider took too long",
}


class Operation(Struct, frozen=True, kw_only=True):
    """One route: what it takes and gives, and whose API says more."""

    summary: str
    description: str
    body: Any = None
    reply: Any = None
    streams: bool = False


OPERATIONS: dict[tuple[str, str], Operation] = {
    ("post", "/v1/chat/completions"): Operation(
        summary="Chat with a model",
        description="OpenAI's chat completions, of any configured model, or of the documents under `rag/default`.",
        body=ChatBody,
        streams=True,
    ),
    ("post", "/v1/responses"): Operation(
        summary="Have a model respond",
        description="OpenAI's Responses; nothing is stored.",
        body=ResponsesBody,
        streams=True,
    ),
    ("post", "/v1/messages"): Operation(
        summary="Message a model", description="Anthropic's Messages, of any model.", body=MessagesBody, streams=True
    ),
    ("post", "/v1/messages/count_tokens"): Operation(
        summary="Count the tokens of a message",
        description="About how many tokens a model would read, as Anthropic's clients ask.",
        body=CountBody,
        reply=Counted,
    ),
    ("post", "/v1/embeddings"): Operation(
        summary="Embed texts", description="OpenAI's embeddings, from this server's embedder.", body=EmbeddingsBody
    ),
    ("post", "/v1/rerank"): Operation(
        summary="Rerank documents", description="Cohere's rerank, from this server's reranker.", body=RerankBody
    ),
    ("post", "/rerank"): Operation(
        summary="Rerank texts", description="The same in the shape of text-embeddings-inference.", body=TeiRerankBody
    ),
    ("get", "/v1/models"): Operation(
        summary="List the models", description="In OpenAI's shape and Anthropic's at once.", reply=ModelsBody
    ),
    ("get", "/v1/models/{model}"): Operation(
        summary="Get a model", description="One of them, by its name.", reply=ModelBody
    ),
}
SHAPES = tuple(one for operation in OPERATIONS.values() for one in (operation.body, operation.reply) if one)


def paths() -> dict[str, dict[str, Any]]:
    """The paths as OpenAPI has them."""
    return {path: {method: _described(path, operation)} for (method, path), operation in OPERATIONS.items()}


def _described(path: str, operation: Operation) -> dict[str, Any]:
    reply = {"application/json": {"schema": _schema(operation.reply)}}
    if operation.streams:
        reply["text/event-stream"] = {"schema": {"description": "With `stream: true`, the events of that API."}}
    described: dict[str, Any] = {
        "tags": [TAG],
        "summary": operation.summary,
        "description": operation.description,
        "responses": {"200": {"description": "As that API answers", "content": reply}, **_refusals()},
    }
    if operation.body:
        content = {"application/json": {"schema": _schema(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if "{" in path:
        described["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    return described


def _refusals() -> dict[str, Any]:
    error = {"application/json": {"schema": {"type": "object", "description": "An error in the shape of that API."}}}
    return {str(status): {"description": text, "content": error} for status, text in _REFUSALS.items()}


def _schema(shape: Any) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{shape.__name__}"} if shape else {"type": "object"}
