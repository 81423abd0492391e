import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm.routing.parameters import NO_PARAMETERS, Parameters, completed, shortened
from llm.usage import prompt_tokens
from rag.base.chat import PLAIN, Options
from rag.base.types import Finished, Turn
from tests.llm.routing.targets import PROMPT, Actor, Stage, ordered

FULL = Parameters(temperature=0.3, top_p=0.9, presence_penalty=0.5, frequency_penalty=-0.5, max_tokens=77)
OPEN = replace(PROMPT, max_tokens=None, temperature=None)


def said(*turns: tuple[str, str]):
    messages = tuple(Turn(role=role, content=content) for role, content in turns)
    return replace(PROMPT, messages=messages, n_tokens=prompt_tokens(messages, PLAIN))


def test_what_a_caller_leaves_open_is_the_route_s():
    full = completed(OPEN, FULL)
    assert (full.temperature, full.max_tokens) == (0.3, 77)
    assert full.options == Options(top_p=0.9, presence_penalty=0.5, frequency_penalty=-0.5)


def test_what_a_caller_says_stays():
    prompt = replace(OPEN, temperature=0.0, max_tokens=5, options=Options(top_p=0.1, seed=3))
    full = completed(prompt, FULL)
    assert (full.temperature, full.max_tokens, full.options.top_p, full.options.seed) == (0.0, 5, 0.1, 3)
    assert completed(prompt, NO_PARAMETERS) == prompt


def test_the_oldest_turns_go_first_and_what_is_left_begins_with_a_user():
    prompt = said(
        ("system", "Be brief."),
        ("user", "a" * 40),
        ("assistant", "b" * 40),
        ("user", "c" * 40),
        ("assistant", "d" * 40),
        ("user", "now?"),
    )
    short = shortened(prompt, history_tokens=2 * 14)
    assert [turn.content[0] for turn in short.messages] == ["B", "c", "d", "n"]
    assert short.n_tokens == prompt_tokens(short.messages, PLAIN)
    assert [turn.content[0] for turn in shortened(prompt, history_tokens=3 * 14).messages] == ["B", "c", "d", "n"]


def test_what_followed_the_last_question_is_no_history():
    prompt = said(("user", "q" * 400), ("assistant", "calls"), ("tool", "r" * 400))
    assert shortened(prompt, history_tokens=0) is prompt


speakers = st.sampled_from(["system", "user", "assistant", "tool"])


@given(st.lists(st.tuples(speakers, st.text("ab ", max_size=60)), min_size=1, max_size=12), st.integers(0, 120))
def test_what_is_left_fits_and_is_the_end_of_what_was_said(turns, history_tokens):
    prompt = said(*turns)
    short = shortened(prompt, history_tokens)
    spoken = [turn for turn in prompt.messages if turn.role != "system"]
    left = [turn for turn in short.messages if turn.role != "system"]
    assert left == spoken[len(spoken) - len(left) :]
    assert [turn for turn in short.messages if turn.role == "system"] == [
        turn for turn in prompt.messages if turn.role == "system"
    ]
    question_at = max((at for at, turn in enumerate(left) if turn.role == "user"), default=0)
    assert sum(prompt_tokens((turn,), PLAIN) for turn in left[:question_at]) <= history_tokens
    if len(left) < len(spoken):
        assert left[0].role == "user"
        assert short.n_tokens < prompt.n_tokens


class Hearing(Actor):
    """Remembers the prompts."""

    def __init__(self, name):
        super().__init__(name)
        self.prompts = []

    def stream(self, prompt, deadline):
        self.prompts.append(prompt)
        return super().stream(prompt, deadline)


@pytest.mark.parametrize(("history_tokens", "dropped", "n_turns"), [(None, (), 3), (0, ("history",), 1), (99, (), 3)])
async def test_a_route_asks_with_its_parameters_and_says_what_it_left_out(history_tokens, dropped, n_turns):
    actor = Hearing("a")
    stage = Stage(actor, config=ordered("a", parameters=replace(FULL, history_tokens=history_tokens)))
    prompt = replace(
        said(("user", "before"), ("assistant", "then"), ("user", "now?")), max_tokens=None, temperature=None
    )
    events = await stage.events(prompt)
    [asked] = actor.prompts
    assert (asked.max_tokens, asked.temperature, asked.options.top_p) == (77, 0.3, 0.9)
    assert len(asked.messages) == n_turns
    [finished] = [event for event in events if isinstance(event, Finished)]
    assert finished.dropped == dropped
