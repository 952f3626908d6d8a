"""How much boxes share, and which is which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.polygons import match, overlaps


def box(left: float, top: float, width: float, height: float) -> list[list[float]]:
    return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]


boxes = st.builds(box, *(st.integers(-20, 20) for _ in range(2)), *(st.integers(1, 20) for _ in range(2)))


def test_known_overlaps() -> None:
    (row,) = overlaps([box(0, 0, 10, 10)], [box(0, 0, 10, 10), box(5, 0, 10, 10), box(20, 0, 1, 1), box(10, 0, 5, 10)])
    assert row == pytest.approx([1, 50 / 150, 0, 0])


def test_a_turned_box() -> None:
    diamond = [[5, 0], [10, 5], [5, 10], [0, 5]]
    ((half,),) = overlaps([box(0, 0, 10, 10)], [diamond])
    assert half == pytest.approx(0.5)


@pytest.mark.parametrize(
    "odd",
    [[[0, 0], [0, 0], [0, 0], [0, 0]], [[0, 0], [9, 0], [9, 0], [0, 0]], [[0, 0], [8, 8], [8, 0], [0, 8]]],
    ids=str,
)
def test_points_lines_and_crossing_polygons_are_no_crash(odd: list[list[float]]) -> None:
    ((value,),) = overlaps([box(0, 0, 8, 8)], [odd])
    assert 0 <= value <= 0.5 + 1e-9


def test_the_number_of_pairs_comes_before_their_overlap() -> None:
    # Greedily by overlap, the first pair would take the only partner that the second box has.
    reference = [box(0, 0, 10, 10), box(4, 0, 10, 10)]
    found = [box(3, 0, 10, 10), box(-4, 0, 10, 10)]
    pairs = {(a, b) for a, b, _ in match(reference, found, 0.3).pairs}
    assert pairs == {(0, 1), (1, 0)}


def test_nothing_to_find_and_nothing_found() -> None:
    nothing = match([], [], 0.5)
    assert (nothing.recall, nothing.precision, nothing.pairs) == (1, 1, ())
    invented, lost = match([], [box(0, 0, 1, 1)], 0.5), match([box(0, 0, 1, 1)], [], 0.5)
    assert (invented.recall, invented.precision) == (1, 0)
    assert (lost.recall, lost.precision) == (0, 1)


@given(st.lists(boxes, max_size=6), st.lists(boxes, max_size=6), st.sampled_from([0.1, 0.5, 0.75]))
def test_a_match_is_one_to_one_and_symmetric_in_number(
    first: list[list[list[float]]], second: list[list[list[float]]], least: float
) -> None:
    there, back = match(first, second, least), match(second, first, least)
    assert len({a for a, _, _ in there.pairs}) == len({b for _, b, _ in there.pairs}) == len(there.pairs)
    assert all(iou >= least for _, _, iou in there.pairs)
    assert len(there.pairs) == len(back.pairs)
    assert sum(iou for *_, iou in there.pairs) == pytest.approx(sum(iou for *_, iou in back.pairs))


@given(st.lists(boxes, max_size=6))
def test_everything_matches_itself(polygons: list[list[list[float]]]) -> None:
    found = match(polygons, polygons, 0.75)
    assert len(found.pairs) == len(polygons)
    assert all(iou == pytest.approx(1) for *_, iou in found.pairs)
