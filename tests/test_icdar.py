"""What counts as found and as read, by the rules of ICDAR 2015."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.icdar import Score, detection, end_to_end, total
from ocr_conformance.truth import Word

Points = tuple[tuple[float, float], ...]


def box(left: float, top: float = 0, width: float = 10, height: float = 10) -> Points:
    return (left, top), (left + width, top), (left + width, top + height), (left, top + height)


def word(left: float, text: str | None = "a", *, ignore: bool = False) -> Word:
    return Word(box(left), text, ignore)


def test_half_of_the_union_is_not_enough_and_a_little_more_is() -> None:
    scene = detection([word(0), word(40)], [box(0, width=5), box(40, width=5.01)])
    assert (scene.pairs, scene.score) == (((1, 1),), Score(words=2, boxes=2, right=1))


def test_a_second_box_on_a_word_is_an_error() -> None:
    scene = detection([word(0)], [box(1), box(0)])
    assert scene.pairs == ((0, 1),)  # the better of the two, whichever comes first
    assert scene.score == Score(words=1, boxes=2, right=1)
    assert (scene.score.recall, scene.score.precision, scene.score.hmean) == (1, 0.5, pytest.approx(2 / 3))


def test_an_ignored_word_is_neither_missed_nor_an_error() -> None:
    words = [word(0), word(40, "###", ignore=True)]
    assert detection(words, [box(0)]).score == Score(1, 1, 1)
    assert detection(words, [box(0), box(40), box(42, width=3)]).score == Score(1, 1, 1)


def test_a_box_leaves_by_its_own_share_in_one_ignored_word() -> None:
    ignored = [word(0, ignore=True), word(10, ignore=True)]
    assert detection(ignored, [box(5)]).boxes == (0,)  # half in each: more than half in neither
    assert detection(ignored, [box(4.9)]).boxes == ()
    large = box(-20, -20, 60, 60)  # holds an ignored word and is not in it
    assert detection(ignored, [large]).boxes == (0,)


def test_a_box_in_an_ignored_word_is_gone_before_it_can_find_another() -> None:
    words = [word(0), Word(box(-1, -1, 12, 12), "###", ignore=True)]
    assert detection(words, [box(0)]).score == Score(words=1, boxes=0, right=0)


def test_polygons_of_many_points() -> None:
    bent = ((0, 10), (10, 0), (20, 0), (30, 10), (20, 20), (10, 20))  # 400 of area
    words = [Word(bent, "bent"), Word(tuple((x, y + 50) for x, y in bent), "###", ignore=True)]
    round_it, in_it = box(0, 0, 30, 20), box(8, 52, 14, 16)
    assert detection(words, [round_it, in_it]).score == Score(1, 1, 1)


@pytest.mark.parametrize("flat", [((5, 5),) * 4, ((0, 0), (9, 0), (9, 0), (0, 0))], ids=["point", "line"])
def test_a_box_without_area_finds_nothing_and_counts(flat: Points) -> None:
    assert detection([word(0), word(0, ignore=True)], [flat]).score == Score(1, 1, 0)


def test_nothing_to_find_and_nothing_found() -> None:
    nothing, invented, missed = detection([], []), detection([], [box(0)]), detection([word(0)], [])
    assert [(each.score.recall, each.score.precision) for each in (nothing, invented, missed)] == [
        (1, 1),
        (1, 0),
        (0, 0),
    ]
    assert missed.score.hmean == 0
    assert total([]) == Score(0, 0, 0)
    assert total([nothing, invented, missed]) == Score(words=1, boxes=1, right=0)


def test_end_to_end_a_word_is_to_be_read_too() -> None:
    words = [word(0, "Exit"), word(40, "to"), word(80, "###", ignore=True)]
    boxes, texts = [box(80), box(40), box(0)], ["noise", "to", "EXIT!"]
    exact, loose = end_to_end(words, boxes, texts), end_to_end(words, boxes, texts, "alphanumeric")
    assert exact.score == Score(words=2, boxes=2, right=1)
    assert exact.right == {1}
    assert exact.pairs == ((0, 2), (1, 1))
    assert loose.score == Score(words=2, boxes=2, right=2)


def test_a_word_without_a_text_counts_for_detection_only() -> None:
    words, boxes = [word(0, None), word(40, "to")], [box(0), box(40), box(80)]
    assert detection(words, boxes).score == Score(words=2, boxes=3, right=2)
    assert end_to_end(words, boxes, ["", "to", ""]).score == Score(words=1, boxes=2, right=1)


places = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.sampled_from(["a", "A", "b"])),
    max_size=6,
    unique_by=lambda p: p[0],
)


@given(places, places, st.sets(st.integers(0, 5)), st.randoms(use_true_random=False))
def test_the_order_of_boxes_and_words_changes_nothing(
    truth: list[tuple[int, int, str]], found: list[tuple[int, int, str]], ignored: set[int], shuffle: random.Random
) -> None:
    words = [Word(box(20 * cell + shift), text, cell in ignored) for cell, shift, text in truth]
    read = [(box(20 * cell + shift), text) for cell, shift, text in found]

    def scores() -> tuple[Score, Score]:
        boxes, texts = [each for each, _ in read], [text for _, text in read]
        return detection(words, boxes).score, end_to_end(words, boxes, texts).score

    before = scores()
    shuffle.shuffle(words)
    shuffle.shuffle(read)
    assert scores() == before
    found_score, read_score = before
    assert 0 <= read_score.right <= found_score.right <= min(found_score.words, found_score.boxes)


@given(places)
def test_the_truth_itself_is_perfect(truth: list[tuple[int, int, str]]) -> None:
    words = [Word(box(20 * cell + shift), text) for cell, shift, text in truth]
    score = end_to_end(words, [each.polygon for each in words], [text for *_, text in truth]).score
    assert score == Score(len(words), len(words), len(words))
    assert (score.recall, score.precision, score.hmean) == (1, 1, 1)
