from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm.turns import Exchange, ToolResult, arguments_of, instructions_and_exchanges, portable, text_and_images
from rag.base.chat import Image, ToolCall
from rag.base.errors import InvalidInput
from rag.base.types import Speaker, Turn
from tests.prompts import a_prompt

TURNS = st.lists(st.builds(Turn, role=st.sampled_from(get_args(Speaker)), content=st.text(" ab\n", max_size=5)))
PICTURE = Image(url="https://example.org/a.png")
CALL = ToolCall(id="c1", name="look", arguments='{"at": 1}')


def parted(*turns: Turn | tuple[Speaker, str]) -> tuple[str, list[Exchange]]:
    messages = tuple(turn if isinstance(turn, Turn) else Turn(role=turn[0], content=turn[1]) for turn in turns)
    return instructions_and_exchanges(replace(a_prompt("x"), messages=messages))


def test_instructions_are_gathered_and_neighbours_of_one_speaker_joined():
    instructions, exchanges = parted(
        ("system", "Be brief."), ("user", "a"), ("system", "Cite."), ("user", "b"), ("assistant", "c"), ("user", "d")
    )
    assert instructions == "Be brief.\n\nCite."
    assert [(one.role, one.text) for one in exchanges] == [("user", "a\n\nb"), ("assistant", "c"), ("user", "d")]


def test_what_is_empty_is_left_out_and_does_not_part_its_neighbours():
    assert parted(("system", " "), ("user", "a"), ("assistant", "\n"), ("user", "b")) == (
        "",
        [Exchange("user", ("a\n\nb",))],
    )


def test_calls_belong_to_the_assistant_and_their_results_to_the_user():
    result = Turn(role="tool", content="42", tool_call_id="c1")
    _, exchanges = parted(
        ("user", "a"), Turn(role="assistant", content="", tool_calls=(CALL,)), result, ("user", "and now?")
    )
    assert exchanges == [
        Exchange("user", ("a",)),
        Exchange("assistant", (CALL,)),
        Exchange("user", (ToolResult("c1", "look", "42"), "and now?")),
    ]
    assert exchanges[2].text is None


def test_images_stand_where_they_stood_in_the_text():
    turn = Turn(role="user", content="this and that", images=(replace(PICTURE, at=4), replace(PICTURE, at=8)))
    assert [part if isinstance(part, str) else part.at for part in text_and_images(turn)] == [
        "this", 4, " and", 8, " that",
    ]  # fmt: skip
    assert list(text_and_images(Turn(role="user", content="", images=(PICTURE,)))) == [PICTURE]


@given(TURNS)
def test_speakers_alternate_and_no_word_is_lost(turns):
    instructions, exchanges = parted(*turns)
    assert all(one.role != other.role for one, other in pairwise(exchanges))
    assert all(exchange.parts for exchange in exchanges)
    assert instructions.split() == [word for turn in turns if turn.role == "system" for word in turn.content.split()]
    parts = [part for exchange in exchanges for part in exchange.parts]
    said = [word for part in parts for word in (part if isinstance(part, str) else part.content).split()]
    assert said == [word for turn in turns if turn.role != "system" for word in turn.content.split()]


@given(st.text(max_size=60))
def test_a_portable_id_is_fit_for_every_provider_and_stays_the_same(call_id):
    made = portable(call_id)
    assert made == portable(call_id) == portable(made)
    assert 1 <= len(made) <= 40
    assert all(sign.isascii() and (sign.isalnum() or sign in "_-") for sign in made)


def test_arguments_are_an_object_or_refused():
    assert bytes(arguments_of(CALL)) == b'{"at": 1}'
    assert bytes(arguments_of(replace(CALL, arguments=""))) == b"{}"
    for arguments in ("[1]", "{", "null", '{"a": }'):
        with pytest.raises(InvalidInput, match="'c1'"):
            arguments_of(replace(CALL, arguments=arguments))
