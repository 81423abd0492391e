"""POST /v1/rerank in Cohere's shape and POST /rerank in TEI's: this server's own cross-encoder."""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rag.base.deadline import Deadline
from rag.base.errors import InvalidInput, NotFound
from rag.base.ports import Reranker
from rag.base.types import Work
from rag.serve.gateway.call import Call
from rag.serve.gateway.call import Work as Coming
from rag.serve.gateway.room import room
from rag.serve.openai.content import Ignored
from rag.serve.openai.embeddings import is_named
from rag.serve.replies import Reply

MAX_DOCUMENTS = 1_000
BULK_DOCUMENTS = 50
"""From this many documents on they wait behind those who ask questions."""


class TextDocument(Struct, frozen=True):
    """A document as an object; what else it has is not read."""

    text: str


Documents = Annotated[list[str | TextDocument], Meta(min_length=1, max_length=MAX_DOCUMENTS)]


class RerankBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cohere's body, which Jina, vLLM and Infinity take too. Documents are cut where the model stops reading."""

    model: str
    query: str
    documents: Documents
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False
    max_tokens_per_doc: Ignored = None
    priority: Ignored = None


class TeiRerankBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TEI's body."""

    query: str
    texts: Annotated[list[str], Meta(min_length=1, max_length=MAX_DOCUMENTS)]
    raw_scores: bool = False
    return_text: bool = False
    truncate: Ignored = None
    truncation_direction: Ignored = None


class _Result(Struct, frozen=True, kw_only=True):
    index: int
    relevance_score: float
    document: TextDocument | UnsetType = UNSET


class _Units(Struct, frozen=True):
    search_units: int = 1


class _Version(Struct, frozen=True):
    version: str = "2"


class _Meta(Struct, frozen=True):
    api_version: _Version = _Version()
    billed_units: _Units = _Units()


class _Reranked(Struct, frozen=True, kw_only=True):
    id: str
    model: str
    results: list[_Result]
    meta: _Meta = _Meta()


class _Rank(Struct, frozen=True, kw_only=True):
    index: int
    score: float
    text: str | UnsetType = UNSET


def rerank(call: Call, body: RerankBody) -> Coming:
    """The documents by relevance, the best first. Raises NotFound, and what rerankers raise."""
    reranker = call.services.searcher.reranker
    if reranker.name != "none" and not is_named(reranker.name, body.model):
        raise NotFound(f"there is no reranker '{body.model[:100]}' here; there is '{reranker.name}'")
    texts = [document if isinstance(document, str) else document.text for document in body.documents]

    async def ranked() -> Reply:
        scores = await _probabilities(call, reranker, body.query, texts)
        results = [
            _Result(
                index=index,
                relevance_score=scores[index],
                document=TextDocument(texts[index]) if body.return_documents else UNSET,
            )
            for index in _best_first(scores)[: body.top_n]
        ]
        return Reply(body=msgspec.json.encode(_Reranked(id=call.request_id, model=body.model, results=results)))

    return ranked()


def tei_rerank(call: Call, body: TeiRerankBody) -> Coming:
    """The same in TEI's shape: a bare array. Raises InvalidInput, NotFound, and what rerankers raise."""
    reranker = call.services.searcher.reranker
    if body.raw_scores and not reranker.scores_are_logits:
        raise InvalidInput("this reranker is behind a server that gives no raw scores", pointer="/raw_scores")

    async def ranked() -> Reply:
        score = _logits if body.raw_scores else _probabilities
        scores = await score(call, reranker, body.query, body.texts)
        ranks = [
            _Rank(index=index, score=scores[index], text=body.texts[index] if body.return_text else UNSET)
            for index in _best_first(scores)
        ]
        return Reply(body=msgspec.json.encode(ranks))

    return ranked()


async def _logits(call: Call, reranker: Reranker, query: str, texts: Sequence[str]) -> list[float]:
    deadline = Deadline.after(call.services.limits.gateway_timeout_s)
    with room(call, n_texts=len(texts), bulk_texts=BULK_DOCUMENTS) as lane:
        return await reranker.score(query, texts, Work(tenant=call.principal.tenant, deadline=deadline, lane=lane))


async def _probabilities(call: Call, reranker: Reranker, query: str, texts: Sequence[str]) -> list[float]:
    scores = await _logits(call, reranker, query, texts)
    return [_sigmoid(score) for score in scores] if reranker.scores_are_logits else scores


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, logit)))


def _best_first(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: -scores[index])
