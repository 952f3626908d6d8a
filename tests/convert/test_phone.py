"""The numpy building blocks of phone recipes against what they stand for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocr_conformance.convert.phone import gray_opencv, gray_pillow, open_8bit, open_gray, resize_bicubic, resize_linear

sizes = st.integers(1, 40)


@given(sizes, sizes, sizes, sizes)
def test_a_plane_stays_a_plane_inside_and_is_clamped_outside(h: int, w: int, height: int, width: int) -> None:
    plane = np.add.outer(2 * np.arange(h, dtype=np.float64), 3 * np.arange(w, dtype=np.float64))
    y = np.clip((np.arange(height) + 0.5) * h / height - 0.5, 0, h - 1)
    x = np.clip((np.arange(width) + 0.5) * w / width - 0.5, 0, w - 1)
    np.testing.assert_allclose(resize_linear(plane, height, width), np.add.outer(2 * y, 3 * x), atol=1e-9)


def test_it_agrees_with_opencv() -> None:
    if importlib.util.find_spec("cv2") is None:
        pytest.skip("no OpenCV here: install the extra keras-ocr")
    import cv2

    image = np.random.default_rng(0).random((23, 57, 3), np.float32)
    expected = cv2.resize(image, (200, 31), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resize_linear(image, 31, 200), expected, atol=1e-5)


def test_16_bit_gray_keeps_its_high_byte(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(np.asarray(open_8bit(str(tmp_path / "deep.png"))), [[0, 0, 1, 255]])


def test_a_file_that_does_not_decode_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    for name in ("bad.png", "missing.png"):
        with pytest.raises(ValueError, match=rf"{name} is not an image that can be read"):
            open_8bit(str(tmp_path / name))


@given(sizes, sizes, sizes, sizes, st.integers(0, 2**32 - 1))
def test_bicubic_is_pillow_s(h: int, w: int, height: int, width: int, seed: int) -> None:
    """To the last bit, but for its rounding, along one axis; along both Pillow may take the other one first."""
    noise = np.random.default_rng(seed).integers(0, 256, (h, w), np.uint8)
    for size in ((height, w), (h, width)):
        expected = np.asarray(Image.fromarray(noise).resize((size[1], size[0]), Image.Resampling.BICUBIC))
        assert np.abs(resize_bicubic(noise, *size).astype(int) - expected).max() <= 1


def test_bicubic_of_both_axes_on_a_picture(shared: Callable[[str], Path]) -> None:
    for path in sorted(shared("words/represent_data").glob("*.png"))[:20]:
        gray = Image.open(path).convert("L")
        expected = np.asarray(gray.resize((100, 32), Image.Resampling.BICUBIC)).astype(int)
        difference = np.abs(resize_bicubic(np.asarray(gray), 32, 100) - expected)
        assert difference.max() <= 12
        assert (difference > 1).mean() <= 0.02


def test_gray_to_the_last_bit() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    np.testing.assert_array_equal(gray_pillow(rgb), np.asarray(Image.fromarray(rgb).convert("L")))
    if importlib.util.find_spec("cv2") is None:
        pytest.skip("no OpenCV here: install the extra easyocr")
    import cv2

    np.testing.assert_array_equal(gray_opencv(rgb), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_gray_files_as_opencv_reads_them(tmp_path: Path, suffix: str, mode: str) -> None:
    if importlib.util.find_spec("cv2") is None:
        pytest.skip("no OpenCV here: install the extra easyocr")
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    path = tmp_path / f"word.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    more = {"exif": exif, "quality": 90} if suffix == "jpg" else {}
    Image.fromarray(noise).convert(mode).save(path, **more)
    expected = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(int)
    given = open_gray(str(path)).astype(int)
    assert given.shape == expected.shape
    # OpenCV's own conversion of a whole image is vectorised: the last bit of a few pixels differs.
    assert np.abs(given - expected).max() <= (1 if suffix in ("bmp", "tif") else 0)
    assert (given != expected).mean() < 0.01
