"""Mine hard negatives: passages that our own retriever ranks high and that do not answer the question.

`python -m rerank.mine DATA MODEL OUT` reads the training sets in DATA (see `corpora.py`), searches each pool of
passages with the embedder in the model folder MODEL and with BM25, and writes one JSON line per question. A negative
is never from the positive's document, never holds an answer string and is never a near copy of the positive. Where
labels are known to be incomplete, passages that the embedder prefers to the positive are left out as well (the
positive-aware filter of Moreira et al., "NV-Retriever", 2024): they are often right answers nobody marked.
"""

import hashlib
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from rerank.corpora import FILES, Pair, read_all

Floats: TypeAlias = npt.NDArray[np.float32]
Embed: TypeAlias = Callable[[Sequence[str]], Floats]
"""Texts to unit vectors `(n, dim) float32`, in order."""

SEED = 20261123
HELD_OUT_SHARE = 0.05
N_HARD = 10
N_RANDOM = 2
N_SEARCHED = 40
RRF_K = 10
NEAR_COPY = 0.93  # cosine with the positive from which a passage says the same thing
TITLE_SHARE = 0.3
POOLS = {  # passages of one style only: otherwise style, not meaning, tells positives from negatives
    "nq": "search", "qed": "search", "clapnq": "search", "pubmedqa": "abstracts", "pubmed-claim": "abstracts",
    "medquad": "health", "cloze": "health",
}  # fmt: skip  # a long list of plain fields reads better unexploded
TOLERANCE = {  # keep negatives up to this share of the positive's cosine; absent: labels are complete, keep all
    "bioasq": 0.95, "medquad": 0.98, "cloze": 0.95, "debian": 0.95, "policyqa": 0.9, "squad": 1.1,
}  # fmt: skip  # a long list of plain fields reads better unexploded
QUOTA = {  # questions per set: mixed domains, none of them dominant
    "squad": 5000, "bioasq": 2500, "nq": 2600, "qed": 900, "clapnq": 300, "selqa": 2300, "policyqa": 900,
    "pubmedqa": 1000, "pubmed-claim": 1100, "covidqa": 1300, "medquad": 2500, "cloze": 900, "debian": 2000,
}  # fmt: skip  # a long list of plain fields reads better unexploded
_WORD = re.compile(r"\w+")


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A question with a passage that answers it and passages that do not, hardest first, random ones last."""

    dataset: str
    question: str
    positive: str
    negatives: tuple[str, ...]
    held_out: bool


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """The passages a question's negatives come from: one entry per distinct text."""

    texts: tuple[str, ...]
    titles: tuple[str, ...]
    documents: tuple[frozenset[str], ...]
    vectors: Floats


def is_held_out(question: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a question is kept for choosing models: a fixed function of its words, so repeats never cross over."""
    key = " ".join(_WORD.findall(question.casefold()))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) < share * 2**32


def holds_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether a text holds an answer as whole words, letter case and spacing aside."""
    words = f" {' '.join(_WORD.findall(text.casefold()))} "
    wanted = (" ".join(_WORD.findall(answer.casefold())) for answer in answers)
    return any(answer and f" {answer} " in words for answer in wanted)


def choose_negatives(pair: Pair, ranked: Sequence[int], pool: Pool, at: int, query: Floats) -> list[int]:
    """The first `N_HARD` of `ranked` that may serve as negatives of `pair`, whose positive is `pool.texts[at]`."""
    positive = pool.vectors[at]
    limit = TOLERANCE.get(pair.dataset, float("inf")) * float(positive @ query)
    chosen: list[int] = []
    for index in ranked:
        if (
            index != at
            and pair.document not in pool.documents[index]
            and not holds_answer(pool.texts[index], pair.answers)
            and float(pool.vectors[index] @ query) <= limit
            and float(pool.vectors[index] @ positive) < NEAR_COPY
        ):
            chosen.append(index)
            if len(chosen) == N_HARD:
                break
    return chosen


def fuse(dense: Sequence[int], lexical: Sequence[int], k: int = RRF_K) -> list[int]:
    """Both rankings as one, by reciprocal rank fusion (Cormack et al., 2009); ties keep the dense order."""
    scores: dict[int, float] = defaultdict(float)
    for ranking in (dense, lexical):
        for rank, index in enumerate(ranking):
            scores[index] += 1.0 / (k + rank + 1)
    return sorted(scores, key=lambda index: -scores[index])


def build_pool(pairs: Sequence[Pair], embed: Embed) -> Pool:
    """The distinct passages of some pairs, with every document each of them belongs to."""
    documents: dict[str, set[str]] = defaultdict(set)
    titles: dict[str, str] = {}
    for pair in pairs:
        documents[pair.passage].add(pair.document)
        titles.setdefault(pair.passage, pair.title)
    texts = tuple(documents)
    return Pool(
        texts=texts, titles=tuple(titles.values()), vectors=embed(texts),
        documents=tuple(frozenset(names) for names in documents.values()),
    )  # fmt: skip  # a long list of plain fields reads better unexploded


def search(pool: Pool, questions: Sequence[str], vectors: Floats) -> list[list[int]]:
    """The fused ranking of the pool for each question."""
    n_found = min(N_SEARCHED, len(pool.texts))
    lexical = Bm25(pool.texts)
    rankings = []
    for question, vector in zip(questions, vectors, strict=True):
        rankings.append(fuse(top(pool.vectors @ vector, n_found), top(lexical.scores(question), n_found)))
    return rankings


def top(scores: Floats, n: int) -> list[int]:
    """The indices of the `n` highest scores, best first."""
    found = np.argpartition(-scores, n - 1)[:n]
    return [int(index) for index in found[np.argsort(-scores[found], kind="stable")]]


class Bm25:
    """Okapi BM25 (k1 = 1.2, b = 0.75) over lower-cased words, as postings of numpy arrays."""

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
        postings: dict[str, dict[int, int]] = defaultdict(dict)
        lengths = np.zeros(len(texts), dtype=np.float32)
        for index, text in enumerate(texts):
            words = _WORD.findall(text.casefold())
            lengths[index] = len(words)
            for word in words:
                postings[word][index] = postings[word].get(index, 0) + 1
        damping = k1 * (1 - b + b * lengths / max(float(lengths.mean()), 1.0))
        self._n_texts = len(texts)
        self._postings = {}
        for word, counts in postings.items():
            ids = np.fromiter(counts, dtype=np.int64)
            n_times = np.fromiter(counts.values(), dtype=np.float32)
            idf = np.log1p((len(texts) - len(ids) + 0.5) / (len(ids) + 0.5))
            self._postings[word] = (ids, np.asarray(idf * n_times * (k1 + 1) / (n_times + damping[ids]), np.float32))

    def scores(self, question: str) -> Floats:
        """The score of every text, `(n_texts,)`."""
        total = np.zeros(self._n_texts, dtype=np.float32)
        for word in set(_WORD.findall(question.casefold())):
            if word in self._postings:
                ids, weights = self._postings[word]
                total[ids] += weights
        return total


def mine_pool(pairs: Sequence[Pair], asked: Sequence[Pair], embed: Embed, rng: random.Random) -> list[Example]:
    """Examples for the pairs in `asked`, with negatives from all passages of `pairs`."""
    pool = build_pool(pairs, embed)
    where = {text: index for index, text in enumerate(pool.texts)}
    vectors = embed([pair.question for pair in asked])
    examples = []
    for pair, ranked, vector in zip(asked, search(pool, [p.question for p in asked], vectors), vectors, strict=True):
        at = where[pair.passage]
        chosen = choose_negatives(pair, ranked, pool, at, vector)
        others = rng.sample(range(len(pool.texts)), min(4 * N_RANDOM, len(pool.texts)))
        chosen += choose_negatives(pair, [i for i in others if i not in chosen], pool, at, vector)[:N_RANDOM]
        if len(chosen) > N_RANDOM:
            examples.append(make_example(pair, [at, *chosen], pool, rng))
    return examples


def make_example(pair: Pair, indices: Sequence[int], pool: Pool, rng: random.Random) -> Example:
    """The example of these passages, all of them with their titles in front or none."""
    with_title = rng.random() < TITLE_SHARE
    texts = [f"{pool.titles[i]}. {pool.texts[i]}" if with_title and pool.titles[i] else pool.texts[i] for i in indices]
    return Example(
        dataset=pair.dataset, question=pair.question, positive=texts[0], negatives=tuple(texts[1:]),
        held_out=is_held_out(pair.question),
    )  # fmt: skip  # a long list of plain fields reads better unexploded


def mine(pairs: Sequence[Pair], embed: Embed, seed: int = SEED) -> list[Example]:
    """Examples for up to `QUOTA` questions of each set, in an order that depends on the seed only."""
    rng = random.Random(seed)  # noqa: S311  # chooses training data, guards nothing
    pools: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        pools[POOLS.get(pair.dataset, pair.dataset)].append(pair)
    examples: list[Example] = []
    for members in pools.values():
        asked: list[Pair] = []
        for dataset in sorted({pair.dataset for pair in members}):
            own = [pair for pair in members if pair.dataset == dataset]
            asked += rng.sample(own, min(QUOTA.get(dataset, len(own)), len(own)))
        examples += mine_pool(members, asked, embed, rng)
    rng.shuffle(examples)
    return examples


def onnx_embed(folder: Path, n_threads: int = 2, max_tokens: int = 192) -> Embed:
    """Texts through the embedder in a model folder, row by row on `n_threads` sessions of one thread each."""
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_tokens)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(str(folder / "model.onnx"), options) for _ in range(n_threads)]

    def rows(part: int, texts: Sequence[str]) -> list[Floats]:
        found = []
        for encoding in tokenizer.encode_batch(list(texts[part::n_threads])):
            ids = np.asarray([encoding.ids], dtype=np.int64)
            found.append(sessions[part].run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])
        return found

    def embed(texts: Sequence[str]) -> Floats:
        out: list[Floats] = [np.empty(0, np.float32)] * len(texts)
        with ThreadPoolExecutor(n_threads) as threads:
            for part, found in enumerate(threads.map(lambda part: rows(part, texts), range(n_threads))):
                out[part::n_threads] = found
        return np.stack(out).astype(np.float32)

    return embed


def data_sha256(folder: Path) -> str:
    """One hash over the names and contents of every training file."""
    total = hashlib.sha256()
    for name in FILES:
        total.update(name.encode() + b"\0" + hashlib.sha256((folder / name).read_bytes()).digest())
    return total.hexdigest()


def main(data: Path, model: Path, target: Path) -> None:
    """Mine `data` with the embedder in `model` and write the examples to `target`, the data's hash beside it."""
    examples = mine(read_all(data), onnx_embed(model))
    target.write_bytes(b"".join(msgspec.json.encode(example) + b"\n" for example in examples))
    about = {"data_sha256": data_sha256(data), "seed": SEED, "n_examples": len(examples)}
    target.with_suffix(".about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
