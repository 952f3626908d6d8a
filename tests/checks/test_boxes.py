"""The boxes check: recall and precision at two levels, overlap, hops, scenes without text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ocr_conformance.cases import Case
from ocr_conformance.checks.boxes import check
from ocr_conformance.contract import BoxLimits, Limits
from ocr_conformance.evidence import Evidence, Hop, Outcome

Boxes = list[list[list[list[float]]]]


def box(left: float, top: float, width: float = 10, height: float = 10) -> list[list[float]]:
    return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]


@pytest.fixture
def seeing(outcome: Callable[..., Outcome]) -> Callable[..., Evidence]:
    """Evidence of a detector: boxes of the source, of the SavedModel hop and of the artifact."""

    def make(source: Boxes | None, artifact: Boxes | None, between: Boxes | None = None) -> Evidence:
        def side(boxes: Any) -> Outcome:
            facts: dict[str, Any] = {"texts": None, "boxes": boxes}
            return outcome(facts if boxes is not None else {**facts, "undecoded": "IndexError: no"})

        return Evidence(
            Case("m", "", "tf-lite", "int8", "modern"),
            images=("a.png", "b.png"),
            source=side(source),
            hops=(
                Hop("saved-model", outcome(), side(source if between is None else between)),
                Hop("tf-lite(int8)", outcome()),
            ),
            run=side(artifact),
        )

    return make


def values(result: Any) -> dict[str, float]:
    return {value.name: value.measured for value in result.values}


def test_the_same_boxes(seeing: Callable[..., Evidence]) -> None:
    scenes = [[box(0, 0), box(20, 0)], []]
    result = check(seeing(scenes, scenes), Limits(boxes=BoxLimits(precision=1, recall=1, recall_75=1, mean_iou=1)))
    assert result.verdict == "passed"
    same = {"precision": 1, "recall": 1, "precision_75": 1, "recall_75": 1, "mean_iou": 1}
    assert values(result) == {**same, "source_count": 2, "count": 2}
    assert "2 boxes of the source in 2 images, 2 of the artifact, 2 of them the same" in result.message


def test_lost_invented_and_shifted_boxes(seeing: Callable[..., Evidence]) -> None:
    evidence = seeing([[box(0, 0), box(20, 0)], [box(0, 0)]], [[box(3, 0), box(60, 0)], [box(0, 0), box(30, 30)]])
    result = check(evidence, Limits(boxes=BoxLimits(recall=0.66)))
    assert result.verdict == "passed"
    assert values(result)["recall"] == pytest.approx(2 / 3)
    assert values(result)["precision"] == pytest.approx(2 / 4)
    assert values(result)["recall_75"] == pytest.approx(1 / 3)  # shifted by 3 of 10: IoU 7 / 13
    assert values(result)["mean_iou"] == pytest.approx((7 / 13 + 1) / 2)
    assert "a.png: 1 of 2 boxes lost, 1 invented" in result.details
    assert result.data["images"][0]["lost"] == [1]
    assert result.data["images"][1]["invented"] == [1]
    failed = check(evidence, Limits(boxes=BoxLimits(precision_75=0.9)))
    assert failed.verdict == "failed"
    assert "the tightest that would have passed: precision_75 = 0.25" in failed.message


def test_no_text_anywhere_is_agreement_and_invented_text_is_not(seeing: Callable[..., Evidence]) -> None:
    limits = Limits(boxes=BoxLimits(precision=0.9, recall=0.9, mean_iou=0.5))
    assert check(seeing([[], []], [[], []]), limits).verdict == "passed"
    assert check(seeing([[], []], [[box(0, 0)], []]), limits).verdict == "failed"
    assert check(seeing([[box(0, 0)], []], [[], []]), limits).verdict == "failed"


def test_the_hop_that_moves_boxes_is_named(seeing: Callable[..., Evidence]) -> None:
    scenes, moved = [[box(0, 0), box(20, 0)], []], [[box(0, 0), box(40, 0)], []]
    result = check(seeing(scenes, moved, between=moved), Limits())
    assert result.details[0] == "agreement: source -> saved-model 0.500 | saved-model -> tf-lite(int8) 1.000"


def test_outputs_that_do_not_decode_fail(seeing: Callable[..., Evidence]) -> None:
    result = check(seeing([[], []], None), Limits())
    assert result.verdict == "failed"
    assert "the artifact's outputs do not decode: IndexError: no" in result.message
    assert "the source's outputs" in check(seeing(None, None), Limits()).message
    assert "the source sees 2 images, the artifact 1" in check(seeing([[], []], [[]]), Limits()).message
