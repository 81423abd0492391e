"""Personal data that others generate is found too, and in what others wrote for everyone there is none to be found."""

import random

import pytest

from tests.govern.strangers import DATA, MAKERS, examples, find, is_hidden, plain

N_EXAMPLES = 400


@pytest.mark.parametrize("kind", MAKERS)
def test_at_least_95_of_100_are_hidden(kind: str) -> None:
    missed = [(value, source) for text, value, source in examples(kind, N_EXAMPLES) if not is_hidden(text, value)]
    assert 1 - len(missed) / N_EXAMPLES >= 0.95, missed


def test_times_of_machines_are_next_to_never_somebodys_number() -> None:
    """Milliseconds since 1970, and identifiers that grow with them, stand in every log."""
    rng = random.Random(7)
    times_ms = [str(rng.randrange(1_500_000_000_000, 1_900_000_000_000)) for _ in range(500)]
    times_s = [str(rng.randrange(1_500_000_000, 1_900_000_000)) for _ in range(500)]
    taken = [text for text in [*times_ms, *times_s] if find(f"done at {text}, again at {text}")]
    assert len(taken) <= 25, "a few of the ten digits begin like a date and end with its check digit"


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not there")
def test_next_to_nothing_is_found_in_articles() -> None:
    found = [(one.kind, text[one.start : one.stop]) for text in plain("squad-dev-1.1") for one in find(text)]
    assert len(found) <= 2, found
