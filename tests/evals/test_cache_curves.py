"""Curves over labelled pairs."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.base.errors import ConfigError
from rag.evals.cache_curves import Lookup, curve, curves
from tests.building import embed


def written(folder: Path, name: str, rows: Sequence[dict[str, object]]) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


async def test_each_set_is_read_and_equal_texts_are_left_out(tmp_path: Path) -> None:
    same = {"a": "how old is Bob", "b": "how old is Bob", "duplicate": True}
    turned = {"a": "did Ann call Bob", "b": "did Bob call Ann", "duplicate": False}
    polite = {"a": "how old is Bob", "b": "please how old is Bob", "duplicate": True}
    written(tmp_path, "qqp/pairs.jsonl", [same, turned, polite])
    written(tmp_path, "banking77/train.jsonl", [{"text": "where is my card", "category": "card"}])
    written(tmp_path, "banking77/test.jsonl", [{"text": "please where is my card", "category": "card"}])
    qqp, banking = await curves(tmp_path, embed)
    assert (qqp.lookups, qqp.duplicates) == (2, 1)
    assert (qqp.alone[0].hits, qqp.alone[0].wrong) == (2, 1)
    assert (qqp.gated[0].hits, qqp.gated[0].wrong) == (1, 0)
    assert (banking.gated[0].hits, banking.gated[0].wrong) == (1, 0)


async def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="qqp"):
        await curves(tmp_path, embed)


def test_the_cosine_alone_is_compared_at_as_many_hits() -> None:
    lookups = [Lookup(0.99, False, False), Lookup(0.95, True, True), Lookup(0.9, True, True), Lookup(0.7, True, True)]
    found = curve("x", lookups)
    assert (found.gated[0].hits, found.gated[0].wrong) == (2, 0)
    assert (found.alone_at_same_hits.hits, found.alone_at_same_hits.wrong) == (2, 1)
    assert found.alone_at_same_hits.cut == 0.95


def test_loose_ones_are_added_to_what_passes_by_their_likeness() -> None:
    loose = [Lookup(0.97, False, False, is_loose=True), Lookup(0.9, False, True, is_loose=True)]
    found = curve("x", [Lookup(0.99, False, False), Lookup(0.95, True, True), Lookup(0.7, True, False), *loose])
    assert [(point.hits, point.wrong) for point in found.loose] == [
        (3, 1) if point.cut <= 0.9 else (2, 1) if point.cut <= 0.97 else (1, 0) for point in found.loose
    ]
    assert (found.loose_at_cosine.hits, found.loose_at_cosine.wrong) == (3, 1), "as many as the cosine has at 0.95"
    assert found.loose_at_cosine.cut == 0.9
