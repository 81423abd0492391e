"""Hits against wrong hits on labelled pairs of questions: a cosine alone, and with the gates of the cache."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from cache.gates import refused_by
from cache.nearest import Nearest
from rag.base.errors import ConfigError
from rag.base.ports import Vectors

CUTS = (0.80, 0.85, 0.90, 0.925, 0.95, 0.97, 0.98, 0.99)
LOOKED_AT = 6
COMPARED_AT = 0.95
LOOSE = "wording"
"""The gate that refuses what nothing else does."""

Row = TypeVar("Row")
Embed = Callable[[Sequence[str]], Awaitable[Vectors]]


class Lookup(Struct, frozen=True):
    """One question that a cache might answer: how alike, whether the gates let it pass, and whether that is right.

    `is_loose`: nothing but its words speak against it.
    """

    cosine: float
    passes: bool
    right: bool
    is_loose: bool = False


class Point(Struct, frozen=True, kw_only=True):
    """A cut: hits of all lookups, and the wrong ones of those hits."""

    cut: float
    hits: int
    wrong: int


class Curve(Struct, frozen=True, kw_only=True):
    """One set of questions; `alone_at_same_hits` is the cosine alone at as many hits as the gates give at 0.8.

    `loose` has all that passes at 0.8 and, from its cut on, also what differs in its words only; `loose_at_cosine` as
    many of these as the cosine alone has hits at 0.95, by their likeness.
    """

    name: str
    lookups: int
    duplicates: int
    alone: tuple[Point, ...]
    gated: tuple[Point, ...]
    loose: tuple[Point, ...]
    loose_at_cosine: Point
    alone_at_same_hits: Point


class _Qqp(Struct, frozen=True):
    a: str
    b: str
    duplicate: bool


class _Entailed(Struct, frozen=True):
    chq: str
    faq: str
    value: str


class _Intent(Struct, frozen=True):
    text: str
    category: str


async def curves(folder: Path, embed: Embed) -> list[Curve]:
    """One for each of qqp, mediqa-rqe and banking77 that the folder has. Raises ConfigError when it has none."""
    found = []
    if (folder / "qqp").exists():
        rows = [(row.a, row.b, row.duplicate) for row in _read(folder / "qqp/pairs.jsonl", _Qqp)]
        found.append(curve("qqp", await _pairs(rows, embed)))
    if (folder / "mediqa-rqe").exists():
        files = (folder / "mediqa-rqe/train.jsonl", folder / "mediqa-rqe/dev.jsonl")
        rows = [(row.chq, row.faq, row.value == "true") for file in files for row in _read(file, _Entailed)]
        found.append(curve("mediqa-rqe", await _pairs(rows, embed)))
    if (folder / "banking77").exists():
        kept, asked = (_read(folder / f"banking77/{part}.jsonl", _Intent) for part in ("train", "test"))
        found.append(curve("banking77", await _intents(kept, asked, embed)))
    if not found:
        raise ConfigError(f"{folder} has none of qqp, mediqa-rqe and banking77")
    return found


def curve(name: str, lookups: Sequence[Lookup]) -> Curve:
    """The two ways of deciding at every cut."""
    passing = [one for one in lookups if one.passes]
    kept = [replace(one, cosine=1.0) for one in passing if one.cosine >= CUTS[0]]
    wider = [*kept, *(one for one in lookups if one.is_loose)]
    gated = tuple(_point(passing, cut) for cut in CUTS)
    return Curve(
        name=name,
        lookups=len(lookups),
        duplicates=sum(one.right for one in lookups),
        alone=tuple(_point(lookups, cut) for cut in CUTS),
        gated=gated,
        loose=tuple(_point(wider, cut) for cut in CUTS),
        loose_at_cosine=_nearest(wider, _point(lookups, COMPARED_AT).hits),
        alone_at_same_hits=_nearest(lookups, gated[0].hits),
    )


def _nearest(lookups: Sequence[Lookup], hits: int) -> Point:
    """So many of the most alike, or all there are."""
    ordered = sorted(lookups, key=lambda one: -one.cosine)[:hits]
    wrong = sum(not one.right for one in ordered)
    return Point(cut=ordered[-1].cosine if ordered else 1.0, hits=len(ordered), wrong=wrong)


def _point(lookups: Sequence[Lookup], cut: float) -> Point:
    hits = [one for one in lookups if one.cosine >= cut]
    return Point(cut=cut, hits=len(hits), wrong=sum(not one.right for one in hits))


async def _pairs(rows: Sequence[tuple[str, str, bool]], embed: Embed) -> list[Lookup]:
    """Each pair is one lookup. Equal texts are left out: they are for the exact tier."""
    told = [row for row in rows if row[0] != row[1]]
    ones, others = await embed([row[0] for row in told]), await embed([row[1] for row in told])
    cosines = np.einsum("ij,ij->i", ones, others)
    return [
        _lookup(float(cosine), refused_by(one, other), right=right)
        for cosine, (one, other, right) in zip(cosines, told, strict=True)
    ]


def _lookup(cosine: float, gate: str | None, *, right: bool) -> Lookup:
    return Lookup(cosine, gate is None and cosine >= CUTS[0], right, gate == LOOSE)


async def _intents(kept: Sequence[_Intent], asked: Sequence[_Intent], embed: Embed) -> list[Lookup]:
    """Each question is looked up among the kept ones, as the cache does: the first of the nearest that passes."""
    vectors = await embed([one.text for one in kept])
    nearest = Nearest(vectors.shape[1])
    for number, vector in enumerate(vectors):
        nearest.put(number.to_bytes(4, "big"), vector)
    lookups = []
    for one, vector in zip(asked, await embed([one.text for one in asked]), strict=True):
        near = [(cosine, kept[int.from_bytes(name, "big")]) for cosine, name in nearest.find(vector, LOOKED_AT)]
        found = [
            _lookup(cosine, refused_by(one.text, each.text), right=each.category == one.category)
            for cosine, each in near
        ]
        passing = [each for each in found if each.passes]
        lookups.append((passing or found)[0])
    return lookups


def _read(file: Path, kind: type[Row]) -> list[Row]:
    return [msgspec.json.decode(line, type=kind) for line in file.read_bytes().splitlines() if line.strip()]
