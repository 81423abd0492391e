from itertools import pairwise
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm.turns import instructions_and_turns
from rag.base.types import Speaker, Turn
from tests.prompts import a_prompt

TURNS = st.lists(st.builds(Turn, role=st.sampled_from(get_args(Speaker)), content=st.text(" ab\n", max_size=5)))


def parted(*turns: tuple[Speaker, str]) -> tuple[str, list[Turn]]:
    messages = tuple(Turn(role=role, content=content) for role, content in turns)
    return instructions_and_turns(replace(a_prompt("x"), messages=messages))


def test_instructions_are_gathered_and_neighbours_of_one_speaker_joined():
    instructions, turns = parted(
        ("system", "Be brief."), ("user", "a"), ("system", "Cite."), ("user", "b"), ("assistant", "c"), ("user", "d")
    )
    assert instructions == "Be brief.\n\nCite."
    assert [(turn.role, turn.content) for turn in turns] == [("user", "a\n\nb"), ("assistant", "c"), ("user", "d")]


def test_what_is_empty_is_left_out_and_does_not_part_its_neighbours():
    assert parted(("system", " "), ("user", "a"), ("assistant", "\n"), ("user", "b")) == (
        "",
        [Turn(role="user", content="a\n\nb")],
    )


@given(TURNS)
def test_speakers_alternate_and_no_word_is_lost(turns):
    instructions, conversation = instructions_and_turns(replace(a_prompt("x"), messages=tuple(turns)))
    assert all(one.role != other.role for one, other in pairwise(conversation))
    assert all(turn.content.strip() for turn in conversation)
    assert instructions.split() == [word for turn in turns if turn.role == "system" for word in turn.content.split()]
    said = [word for turn in conversation for word in turn.content.split()]
    assert said == [word for turn in turns if turn.role != "system" for word in turn.content.split()]
