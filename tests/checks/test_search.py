"""The search check: verdicts by the ends of the interval, and what a message says of the counterexample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocr_conformance import metrics
from ocr_conformance.cases import Case
from ocr_conformance.checks.search import check
from ocr_conformance.contract import Limits, SearchLimits
from ocr_conformance.diagnose.render import Picture, Word
from ocr_conformance.evidence import Evidence, Outcome

PICTURE = Picture((Word("ab", "DejaVuSans", rotation=3),), blur=2).to_json()
FOUND = {"picture": PICTURE, "source": "ab", "artifact": "a", "differs": True, "shrunk": True}


def evidence(tried: int = 500, disagreements: int = 3, **facts: Any) -> Evidence:
    known = {
        "tried": tried,
        "disagreements": disagreements,
        "hunted": 700,
        "stopped": False,
        "seconds": 720.0,
        "replayed": [],
        "counterexample": None,
        "source_right": 61,
        "lost": 2,
        "runtime": "litert",
        **facts,
    }
    return Evidence(
        Case("m", "", "r", "int8", "t"), search=Outcome("ok", "", facts=known), counterexample=Path("/kept/1.png")
    )


def limits(disagreement: float | None) -> Limits:
    return Limits(search=SearchLimits(disagreement=disagreement))


@pytest.mark.parametrize(
    ("tried", "differing", "limit", "verdict"),
    [
        (500, 3, 0.1, "passed"),
        (500, 3, 0.0175, "passed"),
        (500, 3, 0.0012, "failed"),
        (500, 3, 0.0173, "undecided"),
        (500, 3, 0.00125, "undecided"),
        (500, 0, 0.01, "passed"),
        (100, 0, 0.01, "undecided"),
        (500, 500, 0.99, "failed"),
        (500, 500, 1.0, "passed"),
        (500, 500, None, "passed"),
        (0, 0, 0.99, "undecided"),
    ],
)
def test_the_interval_decides(tried: int, differing: int, limit: float | None, verdict: str) -> None:
    low, high = metrics.clopper_pearson(differing, tried)
    result = check(evidence(tried, differing), limits(limit))
    assert result.verdict == verdict
    values = {value.name: value.measured for value in result.values}
    assert (values["disagreement_low"], values["disagreement_high"]) == (low, high)


def test_the_message_has_rate_interval_limit_and_picture() -> None:
    result = check(evidence(counterexample=FOUND), limits(0.1))
    assert result.message == (
        'disagreement 3 of 500 (0.12 - 1.74 %), limit 10 %; smallest counterexample "ab" read "ab" / "a" (/kept/1.png)'
    )
    assert result.details == (
        "the source reads 61 of the 500 as they are written; 2 of these differ",
        'its picture: blur 2, "ab" in DejaVuSans rotation 3',
    )
    assert result.data["counterexample"]["file"] == "/kept/1.png"


def test_the_rate_of_a_known_lossy_mode() -> None:
    assert check(evidence(2000, 3), limits(None)).message.startswith(
        "disagreement 3 of 2000 (0.03 - 0.44 %); none of 700"
    )


def test_undecided_says_how_many_more() -> None:
    result = check(evidence(100, 0), limits(0.01))
    assert "limit 1 %, about 300 more examples would settle it" in result.message  # 0 of 368 is below 1 %
    assert "too near to the limit to be settled" in check(evidence(500, 50), limits(0.1)).message


def test_a_search_that_ran_out_of_time_says_so() -> None:
    result = check(evidence(20, 0, stopped=True), limits(0.5))
    assert "disagreement 0 of 20 (0.00 - 16.84 %), limit 50 %, stopped after 720 s" in result.message


def test_what_was_not_shrunk_and_what_does_not_decode() -> None:
    found = {**FOUND, "artifact": None, "shrunk": False}
    message = check(evidence(counterexample=found), limits(0.1)).message
    assert 'counterexample (not shrunk to the end) "ab" read "ab" / nothing that decodes' in message


def test_scenes() -> None:
    box = [[0, 0], [1, 0], [1, 1], [0, 1]]
    empty = {**FOUND, "picture": Picture(()).to_json(), "source": [box], "artifact": []}
    assert (
        "smallest counterexample without words found 1 / 0 boxes"
        in check(evidence(counterexample=empty, source_right=None), limits(0.1)).message
    )


def test_kept_ones_are_said_with_what_became_of_them() -> None:
    healed = {**FOUND, "artifact": "ab", "differs": False}
    result = check(evidence(replayed=[FOUND, healed]), limits(0.1))
    assert "; 1 of 2 kept counterexamples still differ" in result.message
    assert result.details[1:] == (
        'kept counterexample "ab" read "ab" / "a"',
        'kept counterexample "ab" read "ab" / "ab": the same now',
    )


def test_an_artifact_that_does_not_open_beside_the_source_is_skipped() -> None:
    known = Outcome("ok", "", facts={"unopened": "RuntimeError: Select TensorFlow op(s)"})
    result = check(Evidence(Case("m", "", "r", "int8", "t"), search=known), limits(0.1))
    assert (result.verdict, result.message) == (
        "skipped",
        "the artifact does not open beside the source: RuntimeError: Select TensorFlow op(s)",
    )
