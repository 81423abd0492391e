import msgspec
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import Forbidden
from rag.base.types import Principal, Query
from rag.govern.accounts import AccountBook
from rag.govern.allowance import Allowance
from rag.govern.keys import new_key
from rag.govern.permitted import PermittedAnswers
from tests.serve.stage import ANSWER, EVENTS, StageAnswerer

KEY = msgspec.structs.replace(new_key("ann")[1], allowance=Allowance(models=("small", "tiny-*")))


QUERY = Query(text="why?", principal=Principal(subject="ann", tenant="acme", key_id=KEY.id), request_id="r")


async def asked(model, default="small"):
    """The events, and how often the answerer behind was asked."""
    inner = StageAnswerer()
    permitted = PermittedAnswers(inner, AccountBook([KEY]), default=default, free="extractive")
    query = msgspec.structs.replace(QUERY, model=model)
    try:
        return [event async for event in permitted.answer(query, Deadline.after(5), stream=False)]
    except Forbidden as error:
        assert inner.queries == [], "nothing was searched or remembered for it"
        return error


@pytest.mark.parametrize("model", [None, "small", "tiny-2", "extractive"])
async def test_models_on_the_list_and_the_free_one_may_be_asked(model):
    assert await asked(model) == list(EVENTS)


@pytest.mark.parametrize(("model", "default"), [("big", "small"), (None, "big")])
async def test_others_are_forbidden_named_or_not(model, default):
    refused = await asked(model, default)
    assert isinstance(refused, Forbidden)
    assert "may not use the model 'big'" in str(refused)


def test_kept_answers_of_other_models_are_forbidden_too():
    inner = StageAnswerer()
    inner.kept = ANSWER
    permitted = PermittedAnswers(inner, AccountBook([KEY]), default="small", free="extractive")
    assert permitted.recall(QUERY) is ANSWER
    with pytest.raises(Forbidden):
        permitted.recall(msgspec.structs.replace(QUERY, model="big"))
