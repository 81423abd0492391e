"""What the embedder alone is given is what ingestion gives it."""

import msgspec

from rag.bench.corpus import Entry
from rag.bench.ingest import passages_of, write_collections
from rag.bench.models import BATCH
from rag.infer.models import open_model
from rag.infer.tokens import load_counter


def test_the_passages_are_the_chunks_under_their_titles_by_the_batch(tmp_path):
    short = [Entry(f"d{n}", f"Tower {n}", f"It was built in {1900 + n}.") for n in range(BATCH)]
    long = Entry("long", "Towers", " ".join(f"Tower number {n} was built long ago." for n in range(100)))
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in [*short, long]))
    jobs = passages_of(corpus, load_counter(open_model("all-minilm-l6-v2", "embed").tokenizer))
    texts = [text for _, batch in jobs for text in batch]
    assert [len(batch) for _, batch in jobs] == [BATCH, len(texts) - BATCH]
    assert texts[3] == "Tower 3\nIt was built in 1903."
    assert len(texts) > BATCH + 4, "the long one has more chunks than one"
    assert "".join(text.removeprefix("Towers\n") for text in texts[BATCH:]) == long.text


def test_documents_of_several_collections_stay_apart(tmp_path):
    for name, text in (("here", "One tower."), ("there", "Another tower.")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "corpus.jsonl").write_bytes(msgspec.json.encode(Entry("1", "Tower", text)) + b"\n")
    output = tmp_path / "both.jsonl"
    write_collections([tmp_path / "here", tmp_path / "there"], 2, output)
    entries = [msgspec.json.decode(line, type=Entry) for line in output.read_bytes().splitlines()]
    assert [entry.text for entry in entries[:2]] == ["One tower.", "Another tower."]
    assert len({msgspec.structs.astuple(entry)[0] for entry in entries}) == len(entries) == 4
