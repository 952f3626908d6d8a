"""The accuracy check: the interval of the drop decides; a source that reads nothing proves nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ocr_conformance.checks.accuracy import check
from ocr_conformance.contract import AccuracyLimits, Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult

MakeEvidence = Callable[..., Evidence]

OUTPUTS = np.zeros((100, 1))
LABELS = tuple(f"w{index}" for index in range(100))


def judged(reading: MakeEvidence, source: int, lost: int, gained: int, drop: float | None = 0.05) -> CheckResult:
    """``source`` of 100 right, of which the artifact loses some and gains others."""
    theirs = [label if index < source else "?" for index, label in enumerate(LABELS)]
    ours = [
        "!" if index < lost else label if index < source or index >= 100 - gained else "?"
        for index, label in enumerate(LABELS)
    ]
    evidence: Evidence = reading(OUTPUTS, OUTPUTS, texts=(theirs, ours), labels=LABELS)
    return check(evidence, Limits(accuracy=AccuracyLimits(drop=drop, source=0.2)))


@pytest.mark.parametrize(
    ("lost", "gained", "verdict"),
    [
        (0, 0, "passed"),
        (2, 1, "passed"),
        (5, 0, "passed"),
        (5, 2, "undecided"),  # 3 points lost, within the limit; the interval is not
        (6, 0, "undecided"),
        (10, 4, "undecided"),
        (40, 0, "failed"),
    ],
)
def test_the_interval_decides(reading: MakeEvidence, lost: int, gained: int, verdict: str) -> None:
    result = judged(reading, 90, lost, gained)
    assert result.verdict == verdict, result.message
    assert f"{lost} lost, {gained} gained" in result.message


def test_a_drop_beyond_the_limit_names_the_limit_that_would_have_passed(reading: MakeEvidence) -> None:
    result = judged(reading, 90, 40, 0)
    assert "drop > 0.05 (the tightest that would have passed: drop = 0.4)" in result.message
    assert judged(reading, 90, 40, 0, drop=0.4).verdict == "passed"


def test_both_accuracies_stand_side_by_side_with_their_intervals(reading: MakeEvidence) -> None:
    result = judged(reading, 90, 2, 1)
    assert "source 0.900 [0.826, 0.945], artifact 0.890 [0.814, 0.937] of 100 labels (exact)" in result.message


def test_no_limit_shows_and_does_not_judge(reading: MakeEvidence) -> None:
    assert judged(reading, 90, 40, 0, drop=None).verdict == "passed"


def test_a_source_that_reads_nothing_is_skipped_and_says_why(reading: MakeEvidence) -> None:
    result = judged(reading, 3, 3, 0)
    assert result.verdict == "skipped"
    assert "the source itself reads 3 of 100" in result.message
    assert "weights seeded" in result.message


def test_no_labels_are_skipped(reading: MakeEvidence) -> None:
    evidence = reading(OUTPUTS, OUTPUTS, texts=(list(LABELS), list(LABELS)))
    assert check(evidence, Limits()).verdict == "skipped"


def test_outputs_that_do_not_decode_fail(reading: MakeEvidence) -> None:
    evidence = reading(OUTPUTS, OUTPUTS, texts=(list(LABELS), None), labels=LABELS)
    assert check(evidence, Limits()).verdict == "failed"
