"""When building an index anew pays."""

import pytest

from rag.index.wear import Wear


@pytest.mark.parametrize(
    ("wear", "pays"),
    [
        (Wear(n_chunks=500, n_one_by_one=99), False),
        (Wear(n_chunks=500, n_one_by_one=100), True),
        (Wear(n_chunks=2000, n_one_by_one=199), False),
        (Wear(n_chunks=2000, n_one_by_one=200), True),
        (Wear(n_chunks=100, n_gone=99), False),
        (Wear(n_chunks=100, n_gone=100), True),
        (Wear(n_chunks=1000, n_gone=499), False),
        (Wear(n_chunks=1000, n_gone=500), True),
        (Wear(), False),
    ],
)
def test_it_pays_from_a_number_on_and_for_a_share(wear: Wear, pays: bool) -> None:
    assert wear.pays(100) is pays
    assert not wear.pays(0)
