"""The text check: agreement, character errors, words lost and gained, the first difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ocr_conformance.checks.text import check
from ocr_conformance.contract import Limits, TextLimits
from ocr_conformance.evidence import Evidence

MakeEvidence = Callable[..., Evidence]

OUTPUTS = np.zeros((4, 2))
SOURCE = ["house", "cat", "dog", "tree"]


def test_passed_and_borderline(reading: MakeEvidence) -> None:
    evidence = reading(OUTPUTS, OUTPUTS, texts=(SOURCE, ["house", "cat", "dog", "free"]))
    assert check(evidence, Limits(text=TextLimits(agreement=0.75, cer=1 / 15))).verdict == "passed"
    result = check(evidence, Limits(text=TextLimits(agreement=0.76)))
    assert result.verdict == "failed"
    assert "the tightest that would have passed: agreement = 0.75" in result.message


def test_the_first_difference_is_shown_with_file_and_position(reading: MakeEvidence) -> None:
    evidence = reading(
        OUTPUTS, OUTPUTS, texts=(SOURCE, ["house", "cut", "dog", "free"]), labels=("x", "cat", None, "tree")
    )
    result = check(evidence, Limits())
    assert "first difference word-1.png: 'cat' became 'cut' (character 2, label 'cat')" in result.message
    assert "2 words lost and 0 gained of 3" in result.message
    assert result.data["lost"] == ["word-1.png", "word-3.png"]
    assert result.details[0] == "agreement: source -> saved-model 1.000 | saved-model -> tf-lite(int8) 0.500"


def test_lost_words_have_a_limit_of_their_own(reading: MakeEvidence) -> None:
    evidence = reading(OUTPUTS, OUTPUTS, texts=(SOURCE, ["house", "cut", "dog", "tree"]), labels=tuple(SOURCE))
    assert check(evidence, Limits(text=TextLimits(lost=0.25))).verdict == "passed"
    assert check(evidence, Limits(text=TextLimits(lost=0.2))).verdict == "failed"


def test_character_errors_have_a_limit_of_their_own(reading: MakeEvidence) -> None:
    evidence = reading(OUTPUTS, OUTPUTS, texts=(SOURCE, ["house", "cat", "dog", "free"]))
    result = check(evidence, Limits(text=TextLimits(cer=0.06)))
    assert result.verdict == "failed"
    assert "the tightest that would have passed: cer = 0.06667" in result.message


def test_all_alike_shows_no_difference(reading: MakeEvidence) -> None:
    result = check(reading(OUTPUTS, OUTPUTS, texts=(SOURCE, SOURCE)), Limits(text=TextLimits(agreement=1, cer=0)))
    assert result.verdict == "passed"
    assert "difference" not in result.message


@pytest.mark.parametrize("side", [0, 1])
def test_outputs_that_do_not_decode_fail(reading: MakeEvidence, side: int) -> None:
    texts: list[list[str] | None] = [SOURCE, SOURCE]
    texts[side] = None
    result = check(reading(OUTPUTS, OUTPUTS, texts=(texts[0], texts[1])), Limits())
    assert result.verdict == "failed"
    assert "do not decode: IndexError: no" in result.message


def test_another_number_of_texts_fails(reading: MakeEvidence) -> None:
    result = check(reading(OUTPUTS, OUTPUTS, texts=(SOURCE, SOURCE[:1])), Limits())
    assert (result.verdict, result.message) == ("failed", "the source reads 4 samples, the artifact 1")
