import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import chunk
from ingest.config import IngestConfig
from ingest.draft import Draft, document_of
from ingest.embed import BulkEmbedder, Chunked, Embedded, passage_text
from tests.fakes import HashingEmbedder
from tests.indexing import TOKENIZER, work

CONFIG = IngestConfig(chunk_tokens=16)


def chunked(uri: str, text: str, **changes: object) -> Chunked:
    document = document_of(Draft(uri=uri, text=text, **changes), "acme", "recipe")
    return Chunked(document, tuple(chunk(document, TOKENIZER, CONFIG)))


@given(st.lists(st.integers(1, 9), max_size=6), st.integers(1, 7))
async def test_each_chunk_gets_its_own_vector(sizes: list[int], batch: int) -> None:
    documents = [chunked(f"doc:{at}", f"cat{at} sat on. " * 5 * size) for at, size in enumerate(sizes)]
    config = IngestConfig(chunk_tokens=16, embed_batch_chunks=batch)
    found = await BulkEmbedder(HashingEmbedder(), config).embed(documents, work)
    for each in documents:
        embedded = found[each.document.id]
        assert isinstance(embedded, Embedded)
        expected = await HashingEmbedder().embed([one.text for one in each.chunks], "passage", work())
        np.testing.assert_array_equal(embedded.vectors, expected)


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        ({"format": "markdown", "title": "Cats"}, "Cats > The cat > On a mat\n"),
        ({"format": "markdown", "title": "The cat"}, "The cat > On a mat\n"),
        ({"format": "markdown"}, "The cat > On a mat\n"),
        ({"format": "text", "title": "Cats"}, "Cats\n"),
        ({"format": "text"}, ""),
    ],
)
def test_title_and_headings_go_before_the_text(draft: dict[str, str], expected: str) -> None:
    made = chunked("file:///a.md", "# The cat\n\n## On a mat\n\nIt sat.", **draft)
    last = made.chunks[-1]
    assert passage_text(made.document, last, CONFIG) == expected + last.text
    assert passage_text(made.document, last, IngestConfig(embed_headings=False)) == last.text
