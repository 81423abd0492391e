"""Building the index anew while the server answers."""

from typing import Annotated, Final

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from rag.base.errors import ConfigError, InvalidInput
from rag.compose import Services
from rag.index.embedders.config import OnnxEmbedderConfig
from rag.serve.guards import REBUILDS, WATCHES
from rag.serve.reference import refusals
from rag.serve.wire import Body
from rag.succession import Standing, State, Wish


class ReindexBody(Body, frozen=True):
    """What the next index is built with beside the settings file, and when it takes over."""

    embedder: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    documents_per_s: Annotated[float, Meta(gt=0)] | None = None
    min_overlap: Annotated[float, Meta(ge=0, le=1)] = 0.0
    keep_previous: bool = True


class StandingBody(Struct, frozen=True, kw_only=True):
    """How far building the index anew has come."""

    state: State
    embedder: str
    documents: int
    copied: int
    deleted: int
    chunks: int
    questions: int
    overlap_10: float | None
    reason: str


@post(
    "/admin/reindex",
    status_code=202,
    tags=["operations"],
    summary="Build the index anew",
    opt=REBUILDS,
    responses=refusals(409, body=True),
)
async def start_reindex(data: JSONBody[ReindexBody], services: NamedDependency[Services]) -> StandingBody:
    """Starts to build a second index by the settings file as it is now, or with another `embedder`.

    Questions are answered from the present index until the next one holds every document; then one step leads over.
    Documents can be written all the while. Whoever asked may leave: `GET /admin/reindex` tells how far it is.
    """
    try:
        settings = await services.reloader.read()
    except ConfigError as error:
        raise InvalidInput(str(error)) from error
    if data.embedder is not None:
        settings = replace(settings, embedder=OnnxEmbedderConfig(model=data.embedder))
    services.succession.start(
        Wish(
            settings=settings,
            documents_per_s=data.documents_per_s,
            min_overlap=data.min_overlap,
            keeps_previous=data.keep_previous,
        )
    )
    return _body(services.succession.standing)


@get(
    "/admin/reindex",
    tags=["operations"],
    summary="How far building the index anew has come",
    opt=WATCHES,
    responses=refusals(),
    sync_to_thread=False,
)
def show_reindex(services: NamedDependency[Services]) -> StandingBody:
    """Gives the state and the counts of the last time the index was built anew in this process."""
    return _body(services.succession.standing)


@delete(
    "/admin/reindex",
    status_code=200,
    tags=["operations"],
    summary="Stop building the index anew",
    opt=REBUILDS,
    responses=refusals(),
)
async def stop_reindex(services: NamedDependency[Services]) -> StandingBody:
    """Leaves the present index in use. What was built is kept, and the next time goes on from there."""
    await services.succession.stop()
    return _body(services.succession.standing)


def _body(standing: Standing) -> StandingBody:
    found = standing.overlap
    return StandingBody(
        state=standing.state,
        embedder=standing.embedder,
        documents=standing.documents,
        copied=standing.copied,
        deleted=standing.deleted,
        chunks=standing.chunks,
        questions=found.questions if found else 0,
        overlap_10=found.overlap_10 if found else None,
        reason=standing.reason,
    )


ROUTES: Final = (start_reindex, show_reindex, stop_reindex)
