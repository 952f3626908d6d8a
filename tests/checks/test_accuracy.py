"""The accuracy check: the interval of the drop decides; a source that reads nothing proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.cases import Case
from ocr_conformance.checks.accuracy import check
from ocr_conformance.contract import AccuracyLimits, Limits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult
from ocr_conformance.truth import Word

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


# --- scenes ----------------------------------------------------------------------------------------------------------


def box(place: float) -> list[list[float]]:
    return [[20 * place, 0], [20 * place + 10, 0], [20 * place + 10, 10], [20 * place, 10]]


def word(place: float, text: str | None = "a", *, ignore: bool = False) -> Word:
    return Word(tuple((x, y) for x, y in box(place)), text, ignore)


Read = list[dict[float, str]]
"""Of each scene, where something is found and what it is read as."""


def seeing(
    truth: Sequence[Sequence[Word] | None], source: Read | None, artifact: Read, *, reads: bool = False
) -> Evidence:
    """Evidence of a detector, or of a pipeline if it ``reads``."""

    def found(scenes: Read | None) -> Outcome | None:
        if scenes is None:
            return None
        return Outcome("ok", "", facts={"texts": None, "boxes": [[box(place) for place in scene] for scene in scenes]})

    def read(scenes: Read | None) -> Outcome | None:
        if scenes is None or not reads:
            return None
        return Outcome("ok", "", facts={"texts": [text for scene in scenes for text in scene.values()], "boxes": None})

    return Evidence(
        Case("m", "", "tf-lite", "int8", "modern"),
        images=("a.png", "b.png", "c.png"),
        truth=tuple(None if words is None else tuple(words) for words in truth),
        weights_name="seeded",
        source=found(source),
        run=found(artifact),
        source_words=read(source),
        run_words=read(artifact),
    )


def values(result: CheckResult) -> dict[str, float]:
    return {value.name: value.measured for value in result.values}


TRUTH = [[word(0, "exit"), word(1, "to"), word(2, ignore=True)], [word(0, "now")], None]
SOURCE: Read = [{0: "exit", 1: "to", 2: "??"}, {0: "mow", 5: "x"}, {7: "unknown"}]
ARTIFACT: Read = [{1: "to", 0.1: "exlt"}, {0: "now"}, {}]


def test_a_detector_is_right_where_it_finds() -> None:
    result = check(seeing(TRUTH, SOURCE, [{0: ""}, {0: "", 3: "", 4: ""}, {8: ""}]), Limits())
    assert values(result) == pytest.approx(
        {
            "source_recall": 1, "recall": 2 / 3, "source_precision": 3 / 4, "precision": 2 / 4,
            "source_hmean": 6 / 7, "hmean": 4 / 7, "drop": 1 / 3,
        }
    )  # fmt: skip
    assert result.message.startswith("to find 3 words in 2 images (ICDAR 2015: IoU > 0.5): source recall 1.000 [")
    assert result.details == ("lost: a.png word 2 'to', source found, artifact not found",)


def test_a_pipeline_is_right_where_it_finds_and_reads() -> None:
    result = check(seeing(TRUTH, SOURCE, ARTIFACT, reads=True), Limits())
    assert values(result) == pytest.approx(
        {
            "source_recall": 2 / 3, "recall": 2 / 3, "source_precision": 2 / 4, "precision": 2 / 3,
            "source_hmean": 4 / 7, "hmean": 2 / 3, "source_found": 1, "found": 1, "drop": 0,
        }
    )  # fmt: skip
    assert "to find and read 3 words in 2 images (ICDAR 2015: IoU > 0.5, exact)" in result.message
    assert "1 lost, 1 gained" in result.message
    assert result.details == (
        "lost: a.png word 1 'exit', source 'exit', artifact 'exlt'",
        "gained: b.png word 1 'now', source 'mow', artifact 'now'",
    )


def test_a_pipeline_is_compared_as_the_contract_says() -> None:
    loud: Read = [{0: "EXIT!", 1: "To"}, {0: "NOW"}, {}]
    assert values(check(seeing(TRUTH, SOURCE, loud, reads=True), Limits()))["recall"] == 0
    loose = check(seeing(TRUTH, SOURCE, loud, reads=True), Limits(compare="alphanumeric"))
    assert values(loose)["recall"] == 1


def test_what_a_wrongly_read_word_was_found_as_and_a_word_without_text() -> None:
    truth = [[word(0, "exit"), word(1, None)]]
    pipeline = check(seeing(truth, [{0: "exit", 1: "?"}], [{}], reads=True), Limits())
    assert (values(pipeline)["source_recall"], values(pipeline)["source_precision"]) == (1, 1)
    assert (values(pipeline)["source_found"], values(pipeline)["drop"]) == (1, 1)
    assert pipeline.details == ("lost: a.png word 1 'exit', source 'exit', artifact not found",)
    detector = check(seeing(truth, [{0: "", 1: ""}], [{0: ""}]), Limits())
    assert detector.details == ("lost: a.png word 2, source found, artifact not found",)


@pytest.mark.parametrize("reads", [False, True], ids=["detector", "pipeline"])
@pytest.mark.parametrize(
    ("lost", "gained", "verdict"),
    [(0, 0, "passed"), (5, 0, "passed"), (5, 2, "undecided"), (6, 0, "undecided"), (40, 0, "failed")],
)
def test_the_interval_of_the_drop_decides_as_for_a_recognizer(
    reading: MakeEvidence, reads: bool, lost: int, gained: int, verdict: str
) -> None:
    truth = [[word(place, f"w{place}") for place in range(50)], [word(place, f"w{place}") for place in range(50, 100)]]

    def scenes(right: set[int]) -> Read:
        # A detector is wrong where it finds nothing, a pipeline where it reads something else.
        return [
            {place: f"w{place}" if place in right else "?" for place in half if reads or place in right}
            for half in (range(50), range(50, 100))
        ]

    ours = set(range(lost, 90)) | set(range(100 - gained, 100))
    limits = Limits(accuracy=AccuracyLimits(drop=0.05, source=0.2))
    result = check(seeing(truth, scenes(set(range(90))), scenes(ours), reads=reads), limits)
    twin = judged(reading, 90, lost, gained)
    assert (result.verdict, twin.verdict) == (verdict, verdict)
    assert values(result)["drop"] == values(twin)["drop"]
    assert result.data == twin.data
    assert f"{lost} lost, {gained} gained" in result.message
    if verdict == "failed":
        assert "drop > 0.05 (the tightest that would have passed: drop = 0.4)" in result.message
    if verdict == "undecided":
        assert "100 words cannot tell whether it is within 0.05" in result.message


def test_without_ground_truth_the_files_that_are_looked_for_are_named() -> None:
    for truth in ((), (None, None, None)):
        result = check(seeing(truth, SOURCE, ARTIFACT), Limits())
        assert result.verdict == "skipped"
        assert "STEM.json or gt_STEM.txt" in result.message


def test_a_source_that_finds_next_to_nothing_is_skipped() -> None:
    limits = Limits(accuracy=AccuracyLimits(drop=0, source=0.5))
    result = check(seeing(TRUTH, [{0: ""}, {4: ""}, {4: ""}], [{}, {}, {}]), limits)
    assert result.verdict == "skipped"
    said = "the source itself has 1 of 3 words with 2 boxes right (hmean 0.400 < 0.5): with weights seeded"
    assert said in result.message


def test_no_word_that_counts_leaves_the_precision() -> None:
    truth = [[word(0, ignore=True)], []]
    result = check(seeing(truth, [{0: ""}, {}], [{0: ""}, {3: ""}]), Limits(accuracy=AccuracyLimits(drop=0)))
    assert result.verdict == "skipped"
    assert result.message.endswith(
        "no word counts, so none can be lost; 1 boxes of the artifact and 0 of the source count"
    )
    assert (values(result)["source_precision"], values(result)["precision"]) == (1, 0)
    unread = check(seeing([[word(0, None)]], [{0: "a"}], [{0: "a"}], reads=True), Limits())
    assert (unread.verdict, "no word with a text counts" in unread.message) == ("skipped", True)
    assert values(unread)["found"] == 1


@pytest.mark.parametrize("reads", [False, True], ids=["detector", "pipeline"])
def test_a_file_without_its_source_is_shown_and_held_against_nothing(reads: bool) -> None:
    result = check(seeing(TRUTH, None, ARTIFACT, reads=reads), Limits(accuracy=AccuracyLimits(drop=0, source=1)))
    assert result.verdict == "passed"
    assert values(result)["recall"] == pytest.approx(2 / 3 if reads else 1)
    assert "drop" not in values(result)
    assert result.message.endswith("no source to compare with")


def test_a_pipeline_whose_words_are_missing_is_not_taken_for_a_detector() -> None:
    evidence = seeing(TRUTH, SOURCE, ARTIFACT, reads=True)
    assert check(replace(evidence, run_words=None), Limits()).verdict == "skipped"
    alone = check(replace(evidence, source_words=None), Limits())
    assert (values(alone)["recall"], "no source to compare with" in alone.message) == (pytest.approx(2 / 3), True)


@pytest.mark.parametrize(
    ("entry", "facts", "said"),
    [
        ("source", {"boxes": None, "texts": None, "undecoded": "x"}, "of the source do not decode: x"),
        ("run", {"boxes": None, "texts": None, "undecoded": "x"}, "of the artifact do not decode: x"),
        ("run", {"boxes": [[]]}, "there are 3 images, and the artifact sees 1"),
        ("run_words", {"texts": ["a"]}, "the artifact's recognizer reads 1 words in 3 boxes"),
        ("source_words", {"texts": None}, "of the source's recognizer do not decode: no reason given"),
    ],
)
def test_scenes_that_cannot_be_read_fail(entry: str, facts: dict[str, Any], said: str) -> None:
    evidence = seeing(TRUTH, SOURCE, ARTIFACT, reads=True)
    setattr(evidence, entry, Outcome("ok", "", facts=facts))
    result = check(evidence, Limits())
    assert result.verdict == "failed"
    assert said in result.message


places = st.dictionaries(st.integers(0, 4), st.sampled_from(["exit", "to", "a"]), max_size=5)


@given(st.lists(st.tuples(places, places), min_size=3, max_size=3), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_the_boxes_changes_nothing(
    scenes: list[tuple[dict[float, str], dict[float, str]]], reads: bool, shuffle: Any
) -> None:
    def shuffled(scene: dict[float, str]) -> dict[float, str]:
        items = list(scene.items())
        shuffle.shuffle(items)
        return dict(items)

    source, artifact = [theirs for theirs, _ in scenes], [ours for _, ours in scenes]
    result = check(seeing(TRUTH, source, artifact, reads=reads), Limits())
    mixed = check(seeing(TRUTH, list(map(shuffled, source)), list(map(shuffled, artifact)), reads=reads), Limits())
    assert mixed == result
    found = values(result)
    assert found["drop"] == pytest.approx(found["source_recall"] - found["recall"])


@pytest.mark.parametrize(
    ("own", "right", "verdict"),
    [(True, 10, "failed"), (True, 94, "failed"), (True, 95, "passed"), (False, 90, "passed")],
)
def test_a_source_worse_than_promised_on_its_own_images_fails(
    reading: MakeEvidence, own: bool, right: int, verdict: str
) -> None:
    readings = [label if index < right else "?" for index, label in enumerate(LABELS)]
    evidence = replace(reading(OUTPUTS, OUTPUTS, texts=(readings, readings), labels=LABELS), own_images=own)
    result = check(evidence, Limits(accuracy=AccuracyLimits(drop=0.05, source=0.2, reached=0.95)))
    assert result.verdict == verdict, result.message
    if verdict == "failed":
        assert f"the source itself reads {right} of 100 labels right" in result.message
        assert f"reached = {right / 100:g})" in result.message
