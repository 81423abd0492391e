import random
from fnmatch import fnmatch

import numpy as np
import pytest

from rerank.corpora import CREDITS, FILES, Pair, cut_around, detokenise, mentions, split_sentences, window
from rerank.mine import (
    NEAR_COPY,
    Bm25,
    Pool,
    build_pool,
    choose_negatives,
    fuse,
    holds_answer,
    is_held_out,
    mine,
    mine_pool,
)

WORDS = "amber birch cedar delta ember fjord grove heron inlet jetty kelp lagoon maple north otter pine".split()  # noqa: SIM905  # a row of words reads better


def embed(texts):
    """Bags of words on the unit sphere: equal words, equal vectors."""
    vectors = np.full((len(texts), len(WORDS)), 1e-3, dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.casefold().split():
            if word in WORDS:
                vectors[row, WORDS.index(word)] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_pairs(n, dataset="selqa"):
    rng = random.Random(7)
    return [
        Pair(
            dataset=dataset,
            question=f"{' '.join(rng.sample(WORDS, 2))} {number}?",
            passage=f"{' '.join(rng.sample(WORDS, 4))} item {number}",
            document=f"d{number // 2}",
            answers=(f"item {number}", rng.choice(WORDS)),
        )
        for number in range(n)
    ]


@pytest.fixture
def pairs():
    return make_pairs(60)


def test_no_negative_holds_an_answer_or_comes_from_the_same_document(pairs):
    where = {pair.passage: pair for pair in pairs}
    asked = {pair.question: pair for pair in pairs}
    examples = mine_pool(pairs, pairs, embed, random.Random(1))
    assert len(examples) > 30
    for example in examples:
        pair = asked[example.question]
        for negative in example.negatives:
            assert negative != pair.passage
            assert not holds_answer(negative, pair.answers)
            assert where[negative].document != pair.document


def test_near_copies_of_the_positive_are_no_negatives():
    texts = ("amber birch cedar", "cedar amber birch", "amber otter")
    pool = Pool(texts=texts, titles=("",) * 3, documents=tuple(frozenset({t}) for t in texts), vectors=embed(texts))
    pair = Pair(dataset="selqa", question="amber", passage=texts[0], document="x")
    assert float(pool.vectors[0] @ pool.vectors[1]) > NEAR_COPY
    assert choose_negatives(pair, [0, 1, 2], pool, 0, embed(["amber"])[0]) == [2]


def test_where_labels_are_incomplete_a_passage_preferred_to_the_positive_is_left_out():
    texts = ("amber birch cedar", "amber", "otter pine")
    pool = Pool(texts=texts, titles=("",) * 3, documents=tuple(frozenset({t}) for t in texts), vectors=embed(texts))
    query = embed(["amber"])[0]
    complete = Pair(dataset="nq", question="amber", passage=texts[0], document="x")
    incomplete = Pair(dataset="bioasq", question="amber", passage=texts[0], document="x")
    assert choose_negatives(complete, [1, 2], pool, 0, query) == [1, 2]
    assert choose_negatives(incomplete, [1, 2], pool, 0, query) == [2]


def test_a_passage_shared_by_two_documents_is_no_negative_of_either():
    pairs = [
        Pair(dataset="nq", question="a", passage="amber birch", document="one"),
        Pair(dataset="nq", question="b", passage="amber birch", document="two"),
        Pair(dataset="nq", question="c", passage="otter pine", document="three"),
    ]
    pool = build_pool(pairs, embed)
    assert pool.texts == ("amber birch", "otter pine")
    assert choose_negatives(pairs[2], [0], pool, 1, embed(["c"])[0]) == [0]
    assert choose_negatives(Pair(dataset="nq", question="d", passage="otter pine", document="two"), [0], pool, 1,
                            embed(["d"])[0]) == []  # fmt: skip


def test_mining_depends_on_the_seed_only(pairs):
    assert mine(pairs, embed, seed=3) == mine(pairs, embed, seed=3)
    assert mine(pairs, embed, seed=3) != mine(pairs, embed, seed=4)


def test_the_held_out_questions_are_a_fixed_share_and_spelling_does_not_move_one():
    questions = [f"what is item number {number}?" for number in range(4000)]
    held_out = {question for question in questions if is_held_out(question)}
    assert 0.03 < len(held_out) / len(questions) < 0.07
    assert all(is_held_out(question.upper().replace("?", " ?")) for question in held_out)
    assert not any(is_held_out(question, 0.0) for question in questions)


def test_an_answer_is_found_as_whole_words_only():
    assert holds_answer("It was Paul  Ehrlich, in 1908.", ["paul ehrlich"])
    assert not holds_answer("The paintings", ["paint"])
    assert not holds_answer("anything", ["", "..."])


def test_fusion_prefers_what_both_rankings_find():
    assert fuse([1, 2, 3], [4, 2, 5])[0] == 2
    assert sorted(fuse([1, 2], [2, 3])) == [1, 2, 3]


def test_bm25_scores_by_hand():
    index = Bm25(["a b", "a c", "a d"], k1=1.2, b=0.75)
    rare = np.log(1 + (3 - 1 + 0.5) / 1.5)
    assert index.scores("b")[0] == pytest.approx(rare * 2.2 / 2.2)
    assert index.scores("zebra").tolist() == [0.0, 0.0, 0.0]


def test_a_window_holds_its_sentence_and_stays_in_size():
    sentences = [f"Sentence number {number} has six words." for number in range(20)]
    for at in (0, 7, 19):
        text = window(sentences, at, n_words=30)
        assert sentences[at] in text
        assert len(text.split()) <= 30
    assert window(["one two three"], 0, n_words=1) == "one two three"


def test_text_is_cut_around_a_character():
    text = " ".join(f"w{number}" for number in range(300))
    cut = cut_around(text, text.index("w150"), n_words=30)
    assert "w150" in cut.split()
    assert len(cut.split()) == 30


def test_treebank_tokens_become_running_text():
    assert detokenise("It is `` well '' known , e.g. ( the cat 's ) .") == 'It is "well" known, e.g. (the cat\'s).'
    assert split_sentences("One here. Two there! No e.g. break.") == ["One here.", "Two there!", "No e.g. break."]
    assert mentions("Symptoms of Leukemia", "acute leukemia")
    assert not mentions("This condition is inherited", "acute leukemia")


def test_every_training_file_is_credited_with_its_licence():
    credited = {credit["files"] for credit in CREDITS}
    for name in FILES:
        assert any(fnmatch(name, pattern) for pattern in credited), name
    assert all(credit["licence"] and credit["authors"] for credit in CREDITS)
