"""Names and number formats."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_conformance.runtime import tensors


def test_quantizing_rounds_shifts_and_clips() -> None:
    values = np.array([-10.0, -0.26, 0.0, 0.24, 0.26, 10.0], np.float32)
    assert tensors.quantize(values, "int8", 0.5, 3).tolist() == [-17, 2, 3, 3, 4, 23]
    assert tensors.quantize(values * 100, "int8", 0.5, 3).tolist() == [-128, -49, 3, 51, 55, 127]


def test_dequantizing_is_the_inverse_on_the_grid() -> None:
    grid = np.arange(-128, 128, dtype=np.int8)
    values = tensors.dequantize(grid, 1 / 256, -128)
    assert values.dtype == np.float32
    assert values.min() == 0
    np.testing.assert_array_equal(tensors.quantize(values, "int8", 1 / 256, -128), grid)


def test_names_are_matched_before_order() -> None:
    assert tensors.match(["a", "b"], [["b", "Identity:0"], ["a", "Identity:1"]], "output") == ([1, 0], "name")
    assert tensors.match(["a", "b"], [["Identity:0"], ["a"]], "output") == ([0, 1], "order")


def test_another_number_of_tensors_is_no_match() -> None:
    with pytest.raises(ValueError, match=r"the model declares 1 outputs \(a\), the file has x, y"):
        tensors.match(["a"], [["x"], ["y"]], "output")


def test_samples_of_different_shapes_do_not_stack() -> None:
    samples = [{"a": np.zeros((1, 3))}, {"a": np.zeros((1, 4))}]
    with pytest.raises(ValueError, match="'a' changes its shape from sample to sample"):
        tensors.stack(samples)
