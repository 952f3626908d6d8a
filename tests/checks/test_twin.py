"""The twin check: the same network in two frameworks must read, or find, the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ocr_conformance.cases import Case
from ocr_conformance.checks.twin import check
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult

Twins = Callable[..., CheckResult]


def box(left: float) -> list[list[float]]:
    return [[left, 0], [left + 10, 0], [left + 10, 10], [left, 10]]


@pytest.fixture
def judged(outcome: Callable[..., Outcome]) -> Twins:
    """The result for the facts of both, and for their outputs."""

    def judge(ours: dict[str, Any], twin: dict[str, Any], outputs: Any = None, of_twin: Any = None) -> CheckResult:
        same = {"scores": np.ones((2, 3), np.float32)}
        empty: dict[str, Any] = {"texts": None, "boxes": None}
        evidence = Evidence(
            Case("m", "", "tf-lite", "float32", "modern"),
            images=("a.png", "b.png"),
            source=outcome(empty | ours, outputs=outputs or same),
            twin=outcome(empty | twin, outputs=of_twin or same),
        )
        return check(evidence, Limits())

    return judge


def values(result: CheckResult) -> dict[str, float]:
    return {value.name: value.measured for value in result.values}


def test_the_same_texts(judged: Twins) -> None:
    result = judged({"texts": ["a", "b"]}, {"texts": ["a", "b"]})
    assert (result.check, result.verdict) == ("twin", "passed")
    assert values(result) == {"agreement": 1, "max_abs": 0}
    assert result.message == "reads its twin's text on 2 of 2 images"


def test_another_text_fails_and_is_named(judged: Twins) -> None:
    result = judged({"texts": ["a", "d"]}, {"texts": ["a", "b"]})
    assert (result.verdict, values(result)["agreement"]) == ("failed", 0.5)
    assert result.message == "reads its twin's text on 1 of 2 images; first difference b.png: 'd', the twin reads 'b'"


def test_the_same_boxes_in_another_order(judged: Twins) -> None:
    result = judged({"boxes": [[box(0), box(21)], []]}, {"boxes": [[box(20), box(0)], []]})
    assert result.verdict == "passed"
    assert values(result)["mean_iou"] == pytest.approx((1 + 9 / 11) / 2)
    assert "2 boxes in 2 images, 2 of the twin, 2 of them the same (IoU >= 0.75)" in result.message


@pytest.mark.parametrize(
    ("ours", "precision", "recall", "said"),
    [
        ([[box(0)], []], 1, 0.5, "a.png: 1 boxes, 2 of the twin, 1 the same"),
        ([[box(0), box(20)], [box(0)]], 2 / 3, 1, "b.png: 1 boxes, 0 of the twin, 0 the same"),
        ([[box(0), box(22)], []], 0.5, 0.5, "a.png: 2 boxes, 2 of the twin, 1 the same"),  # IoU 2 / 3
        ([[], []], 1, 0, "a.png: 0 boxes, 2 of the twin, 0 the same"),
    ],
    ids=["one less", "one more", "one moved", "none"],
)
def test_other_boxes_fail_and_are_named(judged: Twins, ours: Any, precision: float, recall: float, said: str) -> None:
    result = judged({"boxes": ours}, {"boxes": [[box(0), box(20)], []]})
    assert result.verdict == "failed"
    assert (values(result)["precision_75"], values(result)["recall_75"]) == pytest.approx((precision, recall))
    assert result.message.endswith(f"first difference {said}")


def test_no_boxes_on_either_side_are_the_same(judged: Twins) -> None:
    assert judged({"boxes": [[], []]}, {"boxes": [[], []]}).verdict == "passed"


def test_outputs_stand_beside_it_and_judge_nothing(judged: Twins) -> None:
    far = {"scores": np.full((2, 3), 1.5, np.float32)}
    facts = {"texts": ["a", "b"]}
    result = judged(facts, facts, outputs=far)
    assert (result.verdict, values(result)["max_abs"]) == ("passed", 0.5)
    assert "max_abs" not in values(judged(facts, facts, outputs={"other": np.ones((2, 3))}))
    assert "max_abs" not in values(judged(facts, facts, outputs={"scores": np.ones((2, 4))}))
    mixed = {"a": np.array([[1.0]]), "b": np.array([[math.nan]]), "c": np.array([[1.0]])}
    assert math.isnan(values(judged(facts, facts, outputs=mixed, of_twin=mixed))["max_abs"])


@pytest.mark.parametrize(
    ("ours", "twin", "said"),
    [
        ({"undecoded": "IndexError: no"}, {"texts": ["a"]}, "the outputs of the source do not decode: IndexError: no"),
        ({"texts": ["a"]}, {"undecoded": "x"}, "the outputs of the twin do not decode: x"),
        ({"boxes": [[]]}, {"undecoded": "x"}, "the outputs of the twin do not decode: x"),
        ({"undecoded": "x"}, {"boxes": [[]]}, "the outputs of the source do not decode: x"),
        ({"boxes": [[]]}, {"texts": ["a"]}, "the outputs of the twin do not decode: it gives no boxes"),
        ({"texts": ["a", "b"]}, {"texts": ["a"]}, "the source sees 2 images, the twin 1"),
        ({"boxes": [[]]}, {"boxes": [[], []]}, "the source sees 1 images, the twin 2"),
    ],
)
def test_what_cannot_be_compared_fails(judged: Twins, ours: Any, twin: Any, said: str) -> None:
    result = judged(ours, twin)
    assert (result.verdict, result.message) == ("failed", said)
