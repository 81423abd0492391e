"""When an answer still rests on what a search finds."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cache.entry import Evidence, context_of, evidence_of
from cache.evidence import same_context, still_supported
from tests.serve.stage import CANDIDATE, SOURCE


def chunks(names: str) -> list[Evidence]:
    return [Evidence(name, f"d{name}", name.encode()) for name in names]


ORDERS = st.lists(st.sampled_from("abcdef"), unique=True).map("".join)


@given(ORDERS, ORDERS)
def test_the_same_context_is_the_same_chunks_in_the_same_order(kept: str, now: str) -> None:
    assert same_context(chunks(kept), chunks(now)) == (kept == now)


def test_all_that_a_prompt_shows_of_a_chunk_counts() -> None:
    passage = CANDIDATE.passage
    variants = [
        CANDIDATE,
        replace(CANDIDATE, passage=replace(passage, title="Other")),
        replace(CANDIDATE, passage=replace(passage, chunk=replace(passage.chunk, text="Refunds take 15 days."))),
        replace(CANDIDATE, passage=replace(passage, chunk=replace(passage.chunk, headings=("Returns",)))),
        replace(CANDIDATE, passage=replace(passage, chunk=replace(passage.chunk, id="c2"))),
    ]
    assert len(set(evidence_of(variants))) == len(variants)
    assert context_of((SOURCE,)) == evidence_of([CANDIDATE])


@given(ORDERS, st.data())
def test_support_is_what_it_says(ranked: str, data: st.DataObject) -> None:
    kept = data.draw(ORDERS)
    cited = "".join(data.draw(st.lists(st.sampled_from(kept), unique=True))) if kept else ""
    context = ranked[: data.draw(st.integers(0, len(ranked)))]
    supported = still_supported(chunks(kept), chunks(cited), chunks(context), chunks(ranked))
    if not cited or not set(cited) <= set(context):
        assert not supported, "what was cited is not there any more"
        return
    above = ranked[: max(ranked.index(name) for name in cited)]
    assert supported == (set(above) <= set(kept)), "nothing unread stands above the last of what was cited"
