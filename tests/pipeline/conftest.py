import pytest

from rag.base.types import Principal, Query
from tests.shelf import Shelf


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def query() -> Query:
    return Query(text="When was it built?", principal=Principal(subject="ann", tenant="acme"), request_id="r1")
