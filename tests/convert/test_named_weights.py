"""Weights that are drawn are the same everywhere; weights that are read fit or are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocr_conformance.convert.named_weights import glorot, read_npz, uniform

SHAPES = {"dense/kernel": (3, 2), "dense/bias": (2,)}


def test_drawn_values_are_pinned() -> None:
    """Drawn with numpy 1.26 and 2.4 alike. Another value means that every seeded model changes: rename the recipes."""
    expected = np.array([0.9664405584335327, -0.26534152030944824, 0.3500800132751465, -0.2771700620651245], np.float32)
    np.testing.assert_array_equal(uniform("model", "dense/bias", (4,), -1, 1), expected)


def test_names_and_seeds_draw_independently() -> None:
    drawn = [uniform(seed, name, (8,), 0, 1) for seed, name in (("a", "x"), ("a", "y"), ("b", "x"), ("ab", "/x"))]
    assert len({array.tobytes() for array in drawn}) == 4


def test_glorot_has_its_variance_and_no_answer_to_a_constant() -> None:
    kernel = glorot("model", "conv/kernel", (3, 3, 64, 32), gain=2.0)
    assert kernel.dtype == np.float32
    assert kernel.var() == pytest.approx(4 * 2 / (9 * (64 + 32)), rel=0.03)
    np.testing.assert_allclose(kernel.sum(axis=(0, 1, 2)), 0, atol=1e-4)


def test_any_float_type_is_read_as_float32(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    np.savez(file, **{name: np.ones(shape, np.float16) for name, shape in SHAPES.items()})
    arrays = read_npz(str(file), SHAPES)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        name: (shape, "float32") for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"dense/bias": (2,)}, r"weights w.npz: no 'dense/kernel', which the network needs \(shape \(3, 2\)\)"),
        ({**SHAPES, "dense/kernel": (2, 3)}, r"w.npz: 'dense/kernel' has shape \(2, 3\), the network needs \(3, 2\)"),
        ({**SHAPES, "extra/bias": (1,)}, r"w.npz: 'extra/bias' is no weight of the network"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, arrays: dict[str, tuple[int, ...]], message: str) -> None:
    np.savez(tmp_path / "w.npz", **{name: np.zeros(shape, np.float32) for name, shape in arrays.items()})
    with pytest.raises(ValueError, match=message):
        read_npz(str(tmp_path / "w.npz"), SHAPES)


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_npz_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights w\.npz: not a readable \.npz file"):
        read_npz(str(tmp_path / "w.npz"), SHAPES)
