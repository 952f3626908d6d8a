"""Greedy CTC decoding."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_conformance.convert.ctc import greedy


@pytest.mark.parametrize(
    ("classes", "blank_first", "text"),
    [
        ([0, 1, 1, 0, 1, 2, 3, 3], True, "aabc"),
        ([3, 0, 0, 3, 0, 1, 2, 2], False, "aabc"),
        ([0, 0, 0], True, ""),
        ([1, 1, 1], True, "a"),
        ([2, 9, 2], True, "bb"),  # a class beyond the alphabet parts two characters and is none
    ],
)
def test_repeats_are_merged_then_blanks_dropped(classes: list[int], blank_first: bool, text: str) -> None:
    assert greedy(np.array([classes]), "abc", blank_first=blank_first) == [text]
