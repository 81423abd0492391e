"""Pieces have the tokens that the tokenizer finds in each by itself, however much of that is known from the whole."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import Metaspace

from ingest.measure import PieceMeter, exact_counts
from rag.infer.models import open_model
from rag.infer.tokens import load_counter
from tests.indexing import TOKENIZER

SHIPPED = load_counter(open_model("all-minilm-l6-v2", "embed").tokenizer)
ODD = (
    "\0",
    "\x1c",
    "\x85",
    "\xa0",
    "\u200b",
    "\u2028",
    "e\u0301",
    "\u0301",
    "\u0130",
    "\u03a3",
    "\u4e2d",
    "[SEP]",
    "\ufffd",
    "\r",
    "-",
    "\t",
)
parts = st.one_of(st.sampled_from((*ODD, " ", "\n", "unbelievable", "Gro\u00dfstadt")), st.text(max_size=6))
texts = st.lists(parts, max_size=30).map("".join)


@st.composite
def tilings(draw: st.DrawFn) -> list[str]:
    text = draw(texts)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=6))
    return [text[start:stop] for start, stop in pairwise([0, *sorted(cuts), len(text)])]


@pytest.mark.parametrize("tokenizer", [SHIPPED, TOKENIZER])
@given(pieces=tilings())
@settings(deadline=None)
def test_a_piece_has_as_many_tokens_as_by_itself(tokenizer: Tokenizer, pieces: list[str]) -> None:
    meter = PieceMeter(tokenizer, "".join(pieces))
    assert meter.exact_counts(pieces) == exact_counts(tokenizer, pieces)


def test_a_tokenizer_that_sees_more_than_words_is_asked_about_each_piece() -> None:
    tokenizer = Tokenizer.from_str(TOKENIZER.to_str())
    tokenizer.pre_tokenizer = Metaspace()
    pieces = ["the cat ", "sat on", " the mat"]
    assert PieceMeter(tokenizer, "".join(pieces)).exact_counts(pieces) == exact_counts(tokenizer, pieces)
    assert exact_counts(tokenizer, pieces) != PieceMeter(TOKENIZER, "".join(pieces)).exact_counts(pieces)
