"""The limit that a failed result names really would have passed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.results import Value, judge, tightest

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("measured", "most", "shown"),
    [
        (0.123421, True, "0.1235"),
        (0.123489, False, "0.1234"),
        (-12.3451, True, "-12.34"),
        (-12.3451, False, "-12.35"),
        (0.07, True, "0.07"),  # 0.07000000000000000666 in binary
        (1.00001e-7, True, "1.001e-07"),
        (12_345_678, True, "12350000"),
        (1101, True, "1101"),
        (0.0, False, "0"),
    ],
)
def test_the_tightest_limit_is_rounded_outwards(measured: float, most: bool, shown: str) -> None:
    assert tightest(measured, most) == shown
    limit = 0.0 if most and measured > 0 else measured + (-1 if most else 1)
    result = judge("size", [Value("bytes", measured, limit, most)], "sizes")
    assert result.message.endswith(f"(the tightest that would have passed: bytes = {shown})")


@given(FINITE, st.booleans())
def test_the_tightest_limit_passes_and_is_near(measured: float, most: bool) -> None:
    limit = float(tightest(measured, most))
    assert Value("x", measured, limit, most).holds
    if math.isfinite(limit) and abs(measured) > 1e-300:
        assert limit == pytest.approx(measured, rel=1.0001e-3)


@pytest.mark.parametrize("measured", [math.nan, math.inf])
def test_what_is_no_finite_number_passes_no_limit(measured: float) -> None:
    values = [Value("max_abs", measured, 0.1), Value("rmse", 0.3, 0.2)]
    result = judge("tensors", values, "far")
    assert result.verdict == "failed"
    assert result.message.endswith("(the tightest that would have passed: none would have)")
