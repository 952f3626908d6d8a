"""Boxes and words of a scene against its ground truth, as ICDAR 2015 counts them.

https://rrc.cvc.uab.es/?ch=4, task 1 (text localization) and task 4 (end to end).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ocr_conformance import metrics, polygons
from ocr_conformance.polygons import Polygon
from ocr_conformance.truth import Word

IOU = 0.5
"""A word is found by a box that overlaps it by more than this."""
INSIDE = 0.5
"""A box with more than this share of its area in one ignored word does not count."""


@dataclass(frozen=True)
class Score:
    """Counts, of one scene or of several."""

    words: int
    """Words that count."""
    boxes: int
    """Boxes that count."""
    right: int
    """Pairs of the two."""

    @property
    def recall(self) -> float:
        """Share of the words that are right, 0 .. 1; 1 where there is nothing to find."""
        return self.right / self.words if self.words else 1.0

    @property
    def precision(self) -> float:
        """Share of the boxes that are right, 0 .. 1; without any box 0, or 1 where there is nothing to find."""
        return self.right / self.boxes if self.boxes else float(not self.words)

    @property
    def hmean(self) -> float:
        """Harmonic mean of recall and precision, 0 .. 1."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0


@dataclass(frozen=True)
class Scene:
    """The boxes of one scene, held against its words.

    Attributes:
        words: indices of the words that count.
        boxes: indices of the boxes that count.
        pairs: (word, box), of those that count, for each word that a box finds.
        right: the words of ``pairs`` that are right: end to end those that are also read as they should be.
    """

    words: tuple[int, ...]
    boxes: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    right: frozenset[int]

    @property
    def score(self) -> Score:
        """Its counts."""
        return Score(len(self.words), len(self.boxes), len(self.right))


def total(scenes: Iterable[Scene]) -> Score:
    """The counts of all scenes together: each word weighs the same, whatever else stands in its scene."""
    scores = [scene.score for scene in scenes]
    return Score(*(sum(getattr(score, name) for score in scores) for name in ("words", "boxes", "right")))


def detection(words: Sequence[Word], boxes: Sequence[Polygon]) -> Scene:
    """Which words are found (task 1).

    Boxes in ignored words go first, then the rest match one to one. ICDAR's script gives a word the first box that
    is good enough; here the number of pairs and then their overlap decide, so that the order changes nothing.
    """
    counted = tuple(index for index, word in enumerate(words) if not word.ignore)
    ignored = [word.polygon for word in words if word.ignore]
    kept = tuple(index for index, box in enumerate(boxes) if not any(_share(box, other) > INSIDE for other in ignored))
    match = polygons.match(
        [words[index].polygon for index in counted], [boxes[index] for index in kept], math.nextafter(IOU, 1)
    )
    pairs = tuple((counted[word], kept[box]) for word, box, _ in match.pairs)
    return Scene(counted, kept, pairs, frozenset(word for word, _ in pairs))


def end_to_end(
    words: Sequence[Word], boxes: Sequence[Polygon], texts: Sequence[str], compare: metrics.Compare = "exact"
) -> Scene:
    """Which words are found and read right (task 4); ``texts`` has one string per box.

    Of a word whose text nobody knows (``None``) reading cannot be judged: neither it nor the box that finds it counts.
    """
    found = detection(words, boxes)
    unread = {index for index in found.words if words[index].text is None}
    pairs = tuple((word, box) for word, box in found.pairs if word not in unread)
    finders = {box for word, box in found.pairs if word in unread}
    right = frozenset(
        word
        for word, box in pairs
        if metrics.normalise(words[word].text or "", compare) == metrics.normalise(texts[box], compare)
    )
    return Scene(
        tuple(index for index in found.words if index not in unread),
        tuple(index for index in found.boxes if index not in finders),
        pairs,
        right,
    )


def _share(box: Polygon, other: Polygon) -> float:
    """Share of the area of ``box`` that lies in ``other``; of a box without area none does."""
    inside = polygons.shape(box)
    area = float(inside.area)
    return float(inside.intersection(polygons.shape(other)).area) / area if area else 0.0
