"""Boxes of text in a scene: how much two of them share, and which of one set is which of another.

A polygon is a list of points ``[x, y]`` in pixels of the original image. shapely is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Polygon = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Match:
    """One-to-one matching of two sets of polygons.

    Attributes:
        pairs: (index in the reference, index in the other set, intersection over union) of each matched pair.
        reference, found: sizes of the two sets.
    """

    pairs: tuple[tuple[int, int, float], ...]
    reference: int
    found: int

    @property
    def recall(self) -> float:
        """Share of the reference that was found, 0 .. 1; 1 where there is nothing to find."""
        return len(self.pairs) / self.reference if self.reference else 1.0

    @property
    def precision(self) -> float:
        """Share of what was found that is in the reference, 0 .. 1; 1 where nothing was found."""
        return len(self.pairs) / self.found if self.found else 1.0


def overlaps(reference: Sequence[Polygon], found: Sequence[Polygon]) -> list[list[float]]:
    """Intersection over union, 0 .. 1, of each polygon of ``reference`` (rows) with each of ``found`` (columns).

    A polygon that crosses itself counts with the area that it encloses; one without area overlaps nothing.
    """
    first, second = ([shape(polygon) for polygon in polygons] for polygons in (reference, found))
    return [[_iou(a, b) for b in second] for a in first]


def match(reference: Sequence[Polygon], found: Sequence[Polygon], least: float) -> Match:
    """Match one to one: as many pairs as possible of an overlap of ``least`` and more, and of those the best in sum."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    if not reference or not found:
        return Match((), len(reference), len(found))
    iou = np.array(overlaps(reference, found))
    # A pair is worth more than any gain in overlap: the number of pairs comes first.
    worth = np.where(iou >= least, 1 + iou / (1 + min(iou.shape)), 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    pairs = [
        (int(row), int(column), float(iou[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if iou[row, column] >= least
    ]
    return Match(tuple(pairs), len(reference), len(found))


def shape(polygon: Polygon) -> Any:
    """The polygon as shapely's geometry, made valid where it crosses itself."""
    import shapely

    drawn = shapely.Polygon([(float(x), float(y)) for x, y in polygon])
    return drawn if drawn.is_valid else shapely.make_valid(drawn)


def _iou(first: Any, second: Any) -> float:
    if not first.intersects(second):
        return 0.0
    shared = float(first.intersection(second).area)
    union = float(first.area) + float(second.area) - shared
    return shared / union if union > 0 else 0.0
