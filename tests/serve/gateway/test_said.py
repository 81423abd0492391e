import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rag.base.chat import ReasoningDelta, ToolCall, ToolCallDelta
from rag.base.errors import BadDependency
from rag.base.types import Finished, TextDelta, Usage
from rag.serve.gateway.said import cites, joined, whole
from tests.serve.stage import CITATION

END = Finished(reason="stop", model="m")


async def told(*events):
    for event in events:
        yield event


async def test_an_answer_is_put_together():
    usage = Usage(input_tokens=3, output_tokens=2)
    said = await whole(
        told(
            ReasoningDelta(text="hm"),
            TextDelta(text="a"),
            ToolCallDelta(index=0, id="c", name="look"),
            TextDelta(text="b"),
            ToolCallDelta(index=0, arguments="{}"),
            usage,
            END,
        )
    )
    assert (said.text, said.reasoning, said.usage, said.finished) == ("ab", "hm", usage, END)
    assert said.calls == (ToolCall(id="c", name="look", arguments="{}"),)


async def test_what_stops_without_an_end_is_no_answer():
    with pytest.raises(BadDependency, match="cut off"):
        await whole(told(TextDelta(text="a")))


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3)), max_size=20))
def test_pieces_of_calls_may_come_in_any_order_of_calls(pieces):
    begun: set[int] = set()
    deltas = []
    for index, arguments in pieces:
        is_first = index not in begun
        begun.add(index)
        deltas.append(ToolCallDelta(index=index, id=f"c{index}" if is_first else "", name="n", arguments=arguments))
    calls = joined(deltas)
    assert [call.id for call in calls] == [f"c{index}" for index in sorted(begun)]
    for index, call in zip(sorted(begun), calls, strict=True):
        assert call.arguments == ("".join(text for at, text in pieces if at == index) or "{}")


def test_citations_point_to_their_markers():
    text = "A [1]. B [2][1]."
    citations = [replace(CITATION, marker=marker) for marker in (1, 2, 1)]
    assert [(cite.start, cite.stop) for cite in cites(text, citations)] == [(2, 5), (9, 12), (12, 15)]
    assert all(text[cite.start : cite.stop] == f"[{cite.citation.marker}]" for cite in cites(text, citations))
    assert list(cites("no marker", citations)) == []
