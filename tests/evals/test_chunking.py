"""Reference spans held against what search finds, by the tokens of each."""

import itertools
import json
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from rag.base.errors import ConfigError
from rag.evals.chunking import Asked, Found, Kept, Setting, TokenMap, cut, kept, read_asked, read_documents, read_within
from rag.evals.chunking_run import ChunkingRun
from rag.index.config import FusionConfig
from tests.fakes import HashingEmbedder
from tests.indexing import TOKENIZER

TEXT = "the cat sat on a mat on a cat\n"
TOKENS = {"one": TokenMap(TOKENIZER, TEXT), "other": TokenMap(TOKENIZER, TEXT)}


@pytest.mark.parametrize(
    ("found", "score"),
    [
        ([("one", (0, 11))], Kept(recall=0.5, precision=1 / 3)),
        ([("one", (4, 14))], Kept(recall=1.0, precision=2 / 3)),
        ([("one", (4, 14)), ("other", (0, 30))], Kept(recall=1.0, precision=2 / 12)),
        ([("one", (4, 14)), ("one", (4, 14))], Kept(recall=1.0, precision=2 / 6)),
        ([("other", (4, 14))], Kept(recall=0.0, precision=0.0)),
        ([], Kept(recall=0.0, precision=0.0)),
    ],
)
def test_recall_and_precision_count_tokens_of_the_right_document(
    found: list[tuple[str, tuple[int, int]]], score: Kept
) -> None:
    asked = Asked(question="?", document="one", references=((8, 11), (12, 14)))
    read = [Found(document=document, span=span) for document, span in found]
    measured = kept(asked, read, TOKENS)
    assert (measured.recall, measured.precision) == pytest.approx((score.recall, score.precision))


def test_a_context_ends_with_the_first_slice_that_does_not_fit() -> None:
    found = [Found(document="one", span=span) for span in ((0, 7), (8, 14), (15, 20), (21, 23))]
    assert [each.span for each in read_within(found, TOKENS, limit=5)] == [(0, 7), (8, 14)]


def test_with_an_overlap_a_chunk_begins_so_many_tokens_within_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text(TEXT * 20)
    (document,) = read_documents(tmp_path)
    tokens = TokenMap(TOKENIZER, document.text)
    chunks = cut(document, TOKENIZER, IngestConfig(), Setting(tokens=40, overlap=8), tokens)
    assert len(chunks) > 2
    assert all(each.text == document.text[each.start : each.stop] for each in chunks)
    for before, after in itertools.pairwise(chunks):
        assert len(tokens.within([(after.start, before.stop)])) == 8


async def test_a_run_finds_what_the_question_repeats(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("# a\n\n" + "on a mat " * 30 + "\n\n# b\n\nthe cat sat\n")
    start = (tmp_path / "one.md").read_text().index("the cat")
    references = json.dumps([{"content": "the cat sat", "start_index": start, "end_index": start + 11}])
    quoted = references.replace('"', '""')
    (tmp_path / "questions_df.csv").write_text(f'question,references,corpus_id\nthe cat sat,"{quoted}",one\n')
    measuring = ChunkingRun(read_documents(tmp_path), read_asked(tmp_path), HashingEmbedder(), TOKENIZER)
    scores = await measuring.measure(Setting(tokens=24), IngestConfig(), FusionConfig())
    assert scores.chunks > 3
    assert scores.one_context.recall == 1.0
    assert 0.0 < scores.first_chunks.precision < 0.5


def test_a_folder_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Markdown"):
        read_documents(tmp_path)
    with pytest.raises(ConfigError, match=r"questions_df\.csv"):
        read_asked(tmp_path)
