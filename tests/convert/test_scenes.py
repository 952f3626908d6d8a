"""Reading scenes, fitting them on a canvas, and the way back for polygons."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocr_conformance.convert.scenes import clockwise, fit, letterbox, phone_letterbox, read_rgb, rectify

lengths = st.integers(1, 12_000)
sides = st.integers(1, 64).map(lambda number: 32 * number)
needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")

NOISE = np.random.default_rng(0).integers(0, 256, (6, 9, 4), np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV"])
def test_every_kind_of_picture_is_rgb_of_8_bits(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("scene.jpg" if mode in ("CMYK", "YCbCr") else "scene.tif" if mode == "HSV" else "scene.png")
    image = Image.fromarray(NOISE).convert("RGB").convert(mode)
    if mode == "HSV":
        image = image.convert("RGB")
    image.save(path)
    rgb = read_rgb(str(path))
    assert (rgb.shape, rgb.dtype) == ((6, 9, 3), np.uint8)
    if path.suffix == ".jpg" or mode in ("P", "1"):
        assert rgb.std() > 20
    else:
        np.testing.assert_array_equal(rgb, np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "scene.png")
    np.testing.assert_array_equal(read_rgb(str(tmp_path / "scene.png")), NOISE[..., :3])


@pytest.mark.parametrize("deep", [False, True], ids=["8bit", "16bit"])
def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path, deep: bool) -> None:
    gray = NOISE[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gray.astype(np.uint16) << 8 if deep else gray).save(tmp_path / "scene.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(str(tmp_path / "scene.png"))[..., 1], np.rot90(gray, -1))


@pytest.mark.parametrize("size", [(1, 1), (10000, 10), (10, 10000)], ids=str)
def test_pictures_of_any_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, 7).save(tmp_path / "scene.png")
    rgb = read_rgb(str(tmp_path / "scene.png"))
    assert rgb.shape == (size[1], size[0], 3)
    assert (rgb == 7).all()
    if importlib.util.find_spec("cv2") is not None:
        assert letterbox(rgb, 32).shape == (32, 32, 3)
    assert (phone_letterbox(rgb, 32)[0, 0] == 7).all()


def test_a_turned_picture_of_four_inks(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    half = Image.new("CMYK", (32, 16), (0, 0, 0, 0))
    half.paste((0, 255, 255, 0), (0, 0, 16, 16))  # red, on the left of the file
    half.save(tmp_path / "scene.jpg", quality=100, subsampling=0, exif=exif)
    rgb = read_rgb(str(tmp_path / "scene.jpg")).astype(int)
    assert rgb.shape == (32, 16, 3)
    np.testing.assert_allclose(rgb[18:], np.broadcast_to((255, 0, 0), (14, 16, 3)), atol=6)
    np.testing.assert_allclose(rgb[:14], 255, atol=6)


def test_what_is_no_picture_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(NOISE).resize((300, 300)).save(good)
    (tmp_path / "nonsense.png").write_bytes(b"nonsense")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-2000])
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.fromarray(NOISE[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    for name in ("nonsense.png", "cut.png", "empty.jpg", "float.tif", "missing.png"):
        with pytest.raises(ValueError, match=rf"^{tmp_path}/{name} is not an image that can be read \("):
            read_rgb(str(tmp_path / name))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"good\.png is not an image that can be read \(Image size"):
        read_rgb(str(good))


@given(lengths, lengths, sides)
def test_the_longer_side_fits_and_nothing_is_enlarged(height: int, width: int, side: int) -> None:
    place = fit((height, width), side)
    assert 1 <= place.height <= min(height, side)
    assert 1 <= place.width <= min(width, side)
    assert max(place.height, place.width) == min(max(height, width), side)
    for there, length in ((place.height, height), (place.width, width)):
        exact = length * max(place.height, place.width) / max(height, width)
        assert there == max(1, int(exact + 1e-9))


def test_known_places() -> None:
    assert (fit((1013, 463), 320).height, fit((1013, 463), 320).width) == (320, 146)
    assert fit((100, 60), 320).scale == (1, 1)
    assert fit((10_000, 10), 320).width == 1
    assert fit((1, 1), 32).scale == (1, 1)
    with pytest.raises(ValueError, match="an image of 0x5 pixels has none"):
        fit((5, 0), 32)


@given(lengths, lengths, sides, st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1))
def test_there_and_back(height: int, width: int, side: int, points: list[tuple[float, float]]) -> None:
    place = fit((height, width), side)
    np.testing.assert_allclose(place.to_image(place.to_canvas(points)), points, rtol=1e-12, atol=1e-9)
    corner = place.to_image([[place.width, place.height]])
    np.testing.assert_allclose(corner, [[width, height]])


@needs_opencv
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_the_phone_s_canvas_is_opencv_s_within_a_level(height: int, width: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    source, phone = letterbox(rgb, 64), phone_letterbox(rgb, 64)
    assert source.shape == phone.shape == (64, 64, 3)
    assert np.abs(source.astype(int) - phone).max() <= 1
    place = fit((height, width), 64)
    assert not phone[place.height :].any()
    assert not phone[:, place.width :].any()


@needs_opencv
def test_on_the_scenes(shared: Callable[[str], Path]) -> None:
    for path in sorted(shared("scenes").iterdir()):
        rgb = read_rgb(str(path))
        difference = np.abs(letterbox(rgb, 320).astype(int) - phone_letterbox(rgb, 320))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.05


@given(st.floats(-200, 200), st.floats(-200, 200), st.floats(1, 90), st.floats(1, 90), st.floats(-44, 44), st.data())
def test_corners_go_clockwise_from_the_top_left(  # noqa: PLR0917
    x: float, y: float, width: float, height: float, degrees: float, data: st.DataObject
) -> None:
    turn = np.radians(degrees)
    along, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    box = np.array([np.array([x, y]) + right * along + lower * down for right, lower in corners])
    start, backwards = data.draw(st.integers(0, 3)), data.draw(st.booleans())
    shuffled = np.roll(box[::-1] if backwards else box, start, axis=0)
    ordered = clockwise(shuffled)
    # The same corners, the same way round, whatever came in.
    np.testing.assert_array_equal(ordered, clockwise(box))
    assert ordered.sum(1)[0] <= ordered.sum(1).min() + 2e-3
    first = int(np.abs(box - ordered[0]).sum(1).argmin())
    np.testing.assert_allclose(ordered, np.roll(box, -first, axis=0))


def test_an_upright_box_begins_at_its_top_left() -> None:
    box = [[3, 5], [9, 5], [9, 7], [3, 7]]
    assert clockwise([box[2], box[1], box[0], box[3]]).tolist() == box


def smooth(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture without sharp edges: what is read between its pixels is close to what stands there."""
    coarse = np.random.default_rng(1).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def upright(left: float, top: float, width: float, height: float) -> npt.NDArray[np.float64]:
    corners = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]
    return np.array(corners, np.float64)


def turned(box: npt.NDArray[np.float64], degrees: float, center: float) -> npt.NDArray[np.float64]:
    """The box in the picture as `Image.rotate` turns it, anticlockwise as seen."""
    turn = np.radians(degrees)
    x, y = (box - center).T
    return np.stack([x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)], 1) + center


def apart(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    assert first.shape == second.shape
    return np.abs(first.astype(np.int64) - second)


def test_an_upright_box_is_the_plain_crop() -> None:
    scene = smooth(120, 200)
    crop = rectify(scene, upright(53, 41, 96, 40))
    assert crop.dtype == np.uint8
    assert apart(crop, scene[41:81, 53:149]).max() <= 1
    assert apart(rectify(scene, upright(0, 0, 200, 120)), scene).max() <= 1


@pytest.mark.parametrize("degrees", [90, 30, -30, -90, 180, 7])
def test_a_rotated_box_is_the_word_upright(degrees: float) -> None:
    scene, box = smooth(200, 200), upright(52, 80, 96, 40)
    rotated = np.asarray(Image.fromarray(scene).rotate(degrees, Image.Resampling.BICUBIC))
    corners = turned(box, degrees, 100)
    word = scene[80:120, 52:148]
    assert apart(rectify(rotated, corners), word).mean() < 2
    # Half a pixel beside it is seen, so is a box that begins with another corner.
    assert apart(rectify(rotated, corners + 0.5), word).mean() > 4
    assert rectify(rotated, np.roll(corners, 1, axis=0)).shape == (96, 40, 3)


def test_a_box_seen_from_the_side_is_straightened() -> None:
    # Each row of the picture begins where a leaning left edge stands: as upright text on a slope.
    rows = [np.roll(row, shift) for shift, row in enumerate(np.repeat(np.arange(0, 240, 4)[None], 40, axis=0))]
    scene = np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)
    crop = rectify(scene, [[5, 0], [25, 0], [55, 30], [35, 30]])
    assert crop.shape == (42, 20, 3)  # the longer edges: the slanted ones have 30 * sqrt(2)
    assert crop[:, 10].std() < 1
    assert np.ptp(crop[20, :, 0].astype(int)) == pytest.approx(4 * 19, abs=2)


def test_a_crop_is_as_wide_and_as_high_as_the_longer_edges() -> None:
    scene = smooth(48, 48)
    assert rectify(scene, [[10, 10], [30, 10], [40, 40], [0, 40]]).shape == (32, 40, 3)
    assert rectify(scene, [[0, 10], [40, 10], [30, 40], [10, 40]]).shape == (32, 40, 3)
    assert rectify(scene, [[0, 10], [40, 20], [40, 30], [0, 40]]).shape == (30, 41, 3)


def test_a_vertical_box_stands_as_its_corners_say() -> None:
    scene = smooth(200, 200)
    tall = upright(80, 52, 40, 96)
    assert apart(rectify(scene, tall), scene[52:148, 80:120]).max() <= 1
    lying = rectify(scene, np.roll(tall, -1, axis=0))  # text that runs downwards begins at the upper right
    assert apart(lying, np.rot90(scene[52:148, 80:120])).max() <= 1


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        (upright(20, 20, 1, 1), (1, 1, 3)),
        (upright(20, 20, 0.2, 0.2), (1, 1, 3)),
        (upright(20, 20, 30, 0), (1, 30, 3)),
        (upright(20, 20, 0, 0), (1, 1, 3)),
        (upright(-1e7, -1e7, 2e7, 2e7), (96, 96, 3)),
        (upright(20, 20, 2.4, 2.6), (3, 2, 3)),
    ],
    ids=["a pixel", "part of a pixel", "no height", "a point", "enormous", "rounded"],
)
def test_a_crop_has_at_least_a_pixel_and_at_most_twice_the_picture(
    box: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> None:
    scene = smooth(48, 40)
    crop = rectify(scene, box)
    assert crop.shape == shape
    if shape == (1, 1, 3) and box[2, 0] > box[0, 0]:
        assert apart(crop, scene[20:21, 20:21]).max() <= 60  # a neighbour at most


def test_beyond_the_picture_a_crop_is_black() -> None:
    scene = np.full((30, 40, 3), 200, np.uint8)
    crop = rectify(scene, upright(20, 15, 40, 30))
    assert (crop[:14, :19] >= 199).all()
    assert not crop[16:].any()
    assert not crop[:, 21:].any()
    assert not rectify(scene, upright(-50, -50, 20, 20)).any()


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=4, max_size=4))
def test_whatever_a_detector_gives_there_is_a_crop(box: list[tuple[float, float]]) -> None:
    crop = rectify(np.full((9, 7, 3), 255, np.uint8), box)
    assert crop.dtype == np.uint8
    assert min(crop.shape[:2]) >= 1
    assert max(crop.shape[:2]) <= 18
