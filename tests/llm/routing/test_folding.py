"""Where a long conversation is cut: it fits, nothing is lost or torn, and it stays where it was."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llm.routing.folding import LEAD, folded, summarised
from llm.routing.parameters import shortened
from llm.usage import prompt_tokens
from rag.base.chat import PLAIN, ToolCall
from rag.base.types import Prompt, Turn
from tests.llm.routing.targets import PROMPT

SUMMARY_TOKENS = 64
OVERHEAD = prompt_tokens((LEAD, Turn(role="assistant", content="s" * 4 * SUMMARY_TOKENS)), PLAIN)


def said(*turns: Turn) -> Prompt:
    return replace(PROMPT, messages=turns, n_tokens=prompt_tokens(turns, PLAIN))


def tool_round(words: str) -> list[Turn]:
    call = ToolCall(id="c", name="look", arguments=f'{{"for": "{words}"}}')
    return [
        Turn(role="user", content=words),
        Turn(role="assistant", content="", tool_calls=(call,)),
        Turn(role="tool", content=words, tool_call_id="c"),
        Turn(role="assistant", content=words),
    ]


def plain_round(words: str) -> list[Turn]:
    return [Turn(role="user", content=words), Turn(role="assistant", content=words)]


texts = st.integers(0, 300).map("a".__mul__)
rounds = st.lists(st.one_of(texts.map(plain_round), texts.map(tool_round)), max_size=30)
budgets = st.integers(2 * SUMMARY_TOKENS, 600)
openings = st.sampled_from([[], [Turn(role="system", content="Be brief.")], [Turn(role="assistant", content="Hello!")]])
QUESTION = Turn(role="user", content="And now?")


@given(openings, rounds, budgets)
def test_what_is_left_and_any_summary_fit_and_nothing_else_is_gone(opening, told, history_tokens):
    prompt = said(*opening, *(turn for each in told for turn in each), QUESTION)
    fold = folded(prompt, history_tokens, SUMMARY_TOKENS)
    if fold is None:
        assert shortened(prompt, history_tokens) is prompt, "all of it fits"
        return
    short = summarised(prompt, fold, "s" * 4 * SUMMARY_TOKENS)
    assert shortened(short, history_tokens) is short, "the route has nothing left to cut"
    spoken = [turn for turn in prompt.messages if turn.role != "system"]
    left = [turn for turn in short.messages if turn.role != "system"]
    assert [left[0], left[1].role] == [LEAD, "assistant"]
    assert [*fold.since(None), *left[2:]] == spoken
    assert left[2].role == "user", "no result stands without its call"
    assert [turn for turn in short.messages if turn.role == "system"] == [
        turn for turn in prompt.messages if turn.role == "system"
    ]
    assert short.n_tokens - prompt_tokens(short.messages, PLAIN) in range(-40, 40), "rounded turn by turn"


@given(openings, rounds, rounds, budgets)
def test_cuts_stay_where_they_were_when_the_conversation_goes_on(opening, before, after, history_tokens):
    turns = [*opening, *(turn for each in before for turn in each)]
    first = folded(said(*turns, QUESTION), history_tokens, SUMMARY_TOKENS)
    more = [QUESTION, Turn(role="assistant", content="Now."), *(turn for each in after for turn in each)]
    second = folded(said(*turns, *more, QUESTION), history_tokens, SUMMARY_TOKENS)
    cuts = first.cuts if first else ()
    assert (second.cuts if second else ())[: len(cuts)] == cuts


@given(rounds, budgets)
def test_a_summary_is_due_only_when_half_of_the_room_was_filled_again(told, history_tokens):
    prompt = said(*(turn for each in told for turn in each), QUESTION)
    fold = folded(prompt, history_tokens, SUMMARY_TOKENS)
    half = (history_tokens - OVERHEAD) // 2
    assert len(fold.cuts if fold else ()) <= 1 + prompt.n_tokens // max(1, half)


def test_the_newest_rounds_stay_whole():
    told = [plain_round(f"{number} " + "a" * 78) for number in range(10)]
    prompt = said(*(turn for each in told for turn in each), QUESTION)
    fold = folded(prompt, 300, SUMMARY_TOKENS)
    assert fold is not None
    kept = fold.spoken[fold.cuts[-1].at :]
    assert [turn.content[0] for turn in kept] == ["8", "8", "9", "9", "A"]


def test_one_round_that_has_no_room_is_folded_whole_and_an_other_text_is_an_other_fold():
    one, other = (folded(said(*plain_round(words * 2_000), QUESTION), 300, SUMMARY_TOKENS) for words in ("a", "b"))
    assert one is not None
    assert other is not None
    assert one.spoken[one.cuts[-1].at :] == (QUESTION,)
    assert one.cuts[-1].key != other.cuts[-1].key


def test_what_followed_the_last_question_is_no_history():
    assert folded(said(*tool_round("a" * 4_000)), 128, SUMMARY_TOKENS) is None
