"""GET /v1/models: what may be asked, in a shape that OpenAI's and Anthropic's clients both read."""

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from rag.base.errors import NotFound
from rag.base.types import Principal
from rag.compose import Services
from rag.serve.gateway.talk import model_names
from rag.serve.guards import READS
from rag.serve.openai.errors import respond

_SINCE = "1970-01-01T00:00:00Z"
"""Both clients want a date, and when a provider made its model is not known here."""


class ModelBody(Struct, frozen=True, kw_only=True):
    """One name that may be asked. Half of the members are OpenAI's, half Anthropic's."""

    id: str
    display_name: str
    object: str = "model"
    type: str = "model"
    owned_by: str = "groundwire"
    created: int = 0
    created_at: str = _SINCE


class ModelsBody(Struct, frozen=True, kw_only=True):
    """All of them, on one page."""

    data: tuple[ModelBody, ...]
    first_id: str
    last_id: str
    object: str = "list"
    has_more: bool = False


@get("/")
async def list_models(services: NamedDependency[Services], principal: NamedDependency[Principal]) -> ModelsBody:
    """Gives the names that the key may ask: models, the documents under `rag/`, the embedder, and the reranker."""
    names = _every_name(services, principal)
    data = tuple(ModelBody(id=name, display_name=name) for name in names)
    return ModelsBody(data=data, first_id=names[0], last_id=names[-1])


@get("/{model:path}")
async def get_model(
    model: FromPath[str], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> ModelBody:
    """Gives one of them. Raises NotFound."""
    name = model.removeprefix("/")
    if name not in _every_name(services, principal):
        raise NotFound(f"there is no model '{name[:100]}' here; GET /v1/models lists what there is")
    return ModelBody(id=name, display_name=name)


def models_router() -> Router:
    """The routes that tell of models."""
    return Router(
        "/v1/models",
        route_handlers=[list_models, get_model],
        include_in_schema=False,
        opt=READS,
        exception_handlers={Exception: respond},
    )


def _every_name(services: Services, principal: Principal) -> list[str]:
    """The names that write, and those that embed and rerank."""
    reranker = services.searcher.reranker.name
    return [
        *model_names(services, principal),
        services.searcher.embedder.name,
        *([reranker] if reranker != "none" else []),
    ]
