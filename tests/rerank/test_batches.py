import random

import pytest

from rerank.batches import Question, Shape, choose_passages, cut_batches, epoch_batches, join_pair


def make_questions(n):
    rng = random.Random(5)
    return [
        Question(
            dataset="d",
            question=[1000 + number],
            passages=[[place] * rng.randint(1, 60) for place in range(1, rng.randint(4, 12))],
        )
        for number in range(n)
    ]


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 513, 2000])
def test_every_example_is_in_exactly_one_batch(n):
    rng = random.Random(1)
    batches = cut_batches([rng.randint(10, 190) for _ in range(n)], 8, rng)
    assert sorted(index for batch in batches for index in batch) == list(range(n))
    assert all(len(batch) <= 8 for batch in batches)


def test_batches_hold_examples_of_like_length():
    rng = random.Random(1)
    lengths = [rng.randint(10, 190) for _ in range(4000)]
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in cut_batches(lengths, 8, rng))
    assert padded / sum(lengths) < 1.1


def test_the_right_passage_comes_first_and_negatives_repeat_only_when_there_are_too_few():
    rng = random.Random(1)
    for n_available in range(2, 15):
        chosen = choose_passages(n_available, 6, rng)
        assert chosen[0] == 0
        assert 0 not in chosen[1:]
        assert len(chosen) == 6
        assert len(set(chosen)) == min(6, n_available)


def test_an_epoch_depends_on_its_seed_only():
    questions, shape = make_questions(50), Shape()
    assert list(epoch_batches(questions, "1/0", shape)) == list(epoch_batches(questions, "1/0", shape))
    assert list(epoch_batches(questions, "1/0", shape)) != list(epoch_batches(questions, "1/1", shape))
    asked = [group[0][0] for batch in epoch_batches(questions, "1/0", shape) for group in batch]
    assert sorted(asked) == [1000 + number for number in range(50)]


@pytest.mark.parametrize(("n_question", "n_passage"), [(5, 20), (5, 900), (400, 900), (400, 2), (0, 0)])
def test_a_pair_fits_and_keeps_the_beginning_of_both(n_question, n_passage):
    ids, segments = join_pair([7] * n_question, [8] * n_passage, 192, (101, 102))
    assert len(ids) == len(segments) <= 192
    assert ids[0] == 101
    assert ids[-1] == 102
    assert ids.count(102) == 2
    assert segments == sorted(segments)
    assert ids.count(8) == segments.count(1) - 1
    assert ids.count(7) == min(n_question, 94)
