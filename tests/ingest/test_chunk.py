import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.chunk import chunk
from ingest.config import IngestConfig
from ingest.measure import exact_counts
from rag.base.types import Chunk, Document
from tests.indexing import TOKENIZER, WORDS

CONFIG = IngestConfig(chunk_tokens=16)


def document(text: str, format_: str = "markdown") -> Document:
    return Document(
        id="0" * 32,
        tenant="acme",
        uri="file:///a.md",
        title="A",
        text=text,
        version="1" * 32,
        content_hash="",
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        format=format_,
    )


def chunks_of(text: str, format_: str = "markdown", config: IngestConfig = CONFIG) -> list[Chunk]:
    return chunk(document(text, format_), TOKENIZER, config)


blocks = st.one_of(
    st.sampled_from(
        (
            "# The cat\n\n",
            "## On a mat\r\n",
            "```\n# no heading\n```\n",
            "| a | b |\n|---|---|\n| c | d |\n",
            "Title\n=====\n",
            "- a\n- b\n",
            "e\u0301e\u0301 ",
            "👩‍👩‍👧‍👦",
            "\x00",
            "\u2028",
            "\n\n\n",
            "    code\n",
            "matedingmateding",
        )
    ),
    st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join),
    st.text(max_size=40),
)
texts = st.lists(blocks, max_size=15).map("".join)


@given(texts, st.sampled_from(("text", "markdown")))
@settings(deadline=None)
def test_chunks_tile_the_text_in_order_within_the_budget(text: str, format_: str) -> None:
    chunks = chunks_of(text, format_)
    if text.strip():
        assert "".join(each.text for each in chunks) == text
    else:
        assert chunks == []
    assert [each.ordinal for each in chunks] == list(range(len(chunks)))
    for each in chunks:
        assert each.text
        assert text[each.start : each.stop] == each.text
        assert len(TOKENIZER.encode(each.text).ids) <= CONFIG.chunk_tokens
    assert [each.n_tokens for each in chunks] == exact_counts(TOKENIZER, [each.text for each in chunks])
    assert len({each.id for each in chunks}) == len(chunks)


@given(texts)
@settings(deadline=None)
def test_same_document_gives_same_chunks(text: str) -> None:
    assert chunks_of(text) == chunks_of(text)


def test_sections_that_fit_are_cut_at_their_headings() -> None:
    text = "# The cat\n\nThe cat sat on a mat.\n\n## On a mat\n\nA cat sat on a mat.\n\n# A mat\n\nThe mat sat.\n"
    found = chunks_of(text)
    assert [each.headings for each in found] == [("The cat",), ("The cat", "On a mat"), ("A mat",)]
    assert [each.text.split("\n")[0] for each in found] == ["# The cat", "## On a mat", "# A mat"]


TABLE = "| a | b |\n|---|---|\n| the | cat |\n"
CODE = "```\nthe cat\n\nsat\n```\n"


@pytest.mark.parametrize("block", [TABLE, CODE])
@pytest.mark.parametrize("n_words", range(0, 40, 3))
def test_tables_and_code_stay_whole_where_they_fit(block: str, n_words: int) -> None:
    text = f"{'cat ' * n_words}\n\n{block}\n{'mat ' * n_words}\n\n{block}"
    found = chunks_of(text, config=IngestConfig(chunk_tokens=34))
    assert sum(each.text.count(block) for each in found) == 2


def test_a_table_joins_the_words_beside_it() -> None:
    assert len(chunks_of(f"The cat:\n\n{TABLE}\nThe mat.", config=IngestConfig(chunk_tokens=40))) == 1


def test_a_table_that_does_not_fit_is_cut_at_its_rows() -> None:
    found = chunks_of(TABLE * 9, config=IngestConfig(chunk_tokens=34))
    assert all(each.text.startswith("|") and each.text.endswith("|\n") for each in found)


def test_long_text_without_any_break_is_cut_in_linear_time() -> None:
    text = "漢字仮名" * 20_000
    assert "".join(each.text for each in chunks_of(text, "text", IngestConfig())) == text


def test_plain_text_has_no_headings() -> None:
    assert [each.headings for each in chunks_of("# The cat\n\nsat on a mat", "code")] == [()]


@pytest.mark.parametrize("text", ["c" * 20_000, "x" + " " * 20_000, "QUJD" * 5_000])
def test_few_tokens_do_not_make_endless_chunks(text: str) -> None:
    assert max(len(each.text) for each in chunks_of(text, "text")) <= 10 * CONFIG.chunk_tokens


def test_ids_depend_on_document_and_version() -> None:
    one = document("The cat sat.")
    other = Document(**{name: getattr(one, name) for name in one.__struct_fields__} | {"version": "2" * 32})
    first, second = (chunk(each, TOKENIZER, CONFIG)[0].id for each in (one, other))
    assert first != second
    assert re.fullmatch("[0-9a-f]{32}", first)


def test_the_work_ends_between_sections_when_nobody_waits_for_it() -> None:
    asked = []

    def has_left() -> bool:
        asked.append(True)
        return len(asked) > 2

    text = "The cat sat on the mat. " * 20_000
    assert chunk(document(text), TOKENIZER, CONFIG, has_left) == []
    assert len(asked) <= 4
