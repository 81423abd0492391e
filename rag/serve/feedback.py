"""POST /feedback: what a reader thought of an answer."""

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from rag.base.errors import NotFound
from rag.base.types import Principal
from rag.compose import Services
from rag.records.feedback import Feedback, Thumb
from rag.serve.guards import READS
from rag.serve.reference import refusals
from rag.serve.wire import Body

Comment = Annotated[str, Meta(max_length=10_000)]


class FeedbackBody(Body, frozen=True):
    """A word on the answer with this `id`. A second one takes the place of the first."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]
    thumb: Thumb
    comment: Comment | None = None
    correction: Annotated[str, Meta(max_length=10_000, description="What the answer should have been.")] | None = None


@post(
    "/feedback",
    status_code=204,
    tags=["questions"],
    summary="Judge an answer",
    opt=READS,
    responses=refusals(404, 503, body=True),
)
async def feedback(
    data: JSONBody[FeedbackBody], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> None:
    """Keeps a thumb, a comment and a correction with the logged request. Only who asked may judge."""
    if services.feedback is None:
        raise NotFound("this server keeps no request log that feedback could be tied to")
    word = Feedback(thumb=data.thumb, comment=data.comment, correction=data.correction)
    await services.feedback.give(word, principal, data.id)
