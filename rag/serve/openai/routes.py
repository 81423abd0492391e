"""The routes for OpenAI's clients, and for those of Cohere's and TEI's reranking."""

from litestar import Router
from litestar.handlers import ASGIRouteHandler

from rag.compose import Services
from rag.serve.gateway.call import post
from rag.serve.openai.chat import chat
from rag.serve.openai.chat_body import ChatBody
from rag.serve.openai.embeddings import EmbeddingsBody, embeddings
from rag.serve.openai.errors import OPENAI
from rag.serve.openai.models import models_router
from rag.serve.openai.rerank import RerankBody, TeiRerankBody, rerank, tei_rerank
from rag.serve.openai.responses import RESPONSES, responses
from rag.serve.openai.responses_body import ResponsesBody


def openai_routes(services: Services) -> list[ASGIRouteHandler | Router]:
    """The routes, over services that are open."""
    return [
        post("/v1/chat/completions", OPENAI, services, ChatBody, chat),
        post("/v1/responses", RESPONSES, services, ResponsesBody, responses),
        post("/v1/embeddings", OPENAI, services, EmbeddingsBody, embeddings),
        post("/v1/rerank", OPENAI, services, RerankBody, rerank),
        post("/rerank", OPENAI, services, TeiRerankBody, tei_rerank),
        models_router(),
    ]
