"""Words cut out of scenes as a recognizer's inputs: one crop a box, upright, whatever a detector may give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

Run = Callable[..., dict[str, Any]]
Cut = Callable[..., dict[str, Any]]

WHOLE = [[0, 0], [40, 0], [40, 30], [0, 30]]


def listed(path: Path) -> dict[str, str]:
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture
def scenes(tmp_path: Path) -> list[dict[str, str]]:
    """Two scenes of 40 x 30 pixels, black on the left and white from the middle on; the second one is white."""
    half = np.zeros((30, 40, 3), np.uint8)
    half[:, 20:] = 255
    for name, pixels in (("half", half), ("white", np.full_like(half, 255))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return [listed(tmp_path / "half.png"), listed(tmp_path / "white.png")]


@pytest.fixture
def cut(run_job: Run, toy: Run, tmp_path: Path) -> Cut:
    """Run the job on these boxes for the toy recognizer (8 x 8 pixels); its files are in ``out``."""

    def run(boxes: Any, images: list[dict[str, str]], variant: str = "") -> dict[str, Any]:
        (tmp_path / "boxes").mkdir(exist_ok=True)
        (tmp_path / "boxes" / "boxes.json").write_text(json.dumps(boxes))
        params = {"model": toy(variant), "images": images}
        return run_job("ocr_conformance.runtime.crops:cut", params, {"boxes": tmp_path / "boxes"}, tmp_path / "out")

    return run


def inputs(tmp_path: Path) -> npt.NDArray[np.float32]:
    with np.load(tmp_path / "out" / "inputs.npz") as archive:
        assert archive.files == ["image"]
        found: npt.NDArray[np.float32] = archive["image"]
    return found


def crop(tmp_path: Path, name: str) -> npt.NDArray[np.uint8]:
    with Image.open(tmp_path / "out" / name) as image:
        return np.asarray(image)


def test_a_crop_a_box_image_after_image(cut: Cut, scenes: list[dict[str, str]], tmp_path: Path) -> None:
    right = [[22, 5], [38, 5], [38, 15], [22, 15]]
    result = cut([[WHOLE, right], [right]], scenes)
    assert result["ok"], result
    assert result["facts"]["counts"] == [2, 1]
    assert result["stage"] == "source"
    found = inputs(tmp_path)
    assert (found.shape, found.dtype) == ((3, 8, 8, 1), np.float32)
    assert found.mean(axis=(1, 2, 3)).round(2).tolist() == [0.5, 1.0, 1.0]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0-0.png", "0-1.png", "1-0.png"]
    assert crop(tmp_path, "0-1.png").shape == (10, 16, 3)


def test_a_rotated_box_is_made_upright(cut: Cut, scenes: list[dict[str, str]], tmp_path: Path) -> None:
    # Text that runs downwards on the edge between black and white: its upper half is the white one.
    result = cut([[[[30, 2], [30, 27], [10, 27], [10, 2]]]], scenes[:1])
    assert result["ok"], result
    upright = crop(tmp_path, "0-0.png")
    assert upright.shape == (20, 25, 3)
    assert (upright[:9] == 255).all()
    assert not upright[11:].any()
    found = inputs(tmp_path)[0, ..., 0]
    assert found[:3].min() == 1.0
    assert found[5:].max() == 0.0


def test_no_box_in_any_scene_is_no_input(
    cut: Cut, run_job: Run, toy: Run, scenes: list[dict[str, str]], tmp_path: Path
) -> None:
    result = cut([[], []], scenes)
    assert result["ok"], result
    assert result["facts"]["counts"] == [0, 0]
    assert (inputs(tmp_path).shape, inputs(tmp_path).dtype) == ((0, 8, 8, 1), np.float32)
    read = run_job("ocr_conformance.runtime.source:predict", {"model": toy()}, {"inputs": tmp_path / "out"})
    assert read["ok"], read
    assert read["facts"]["texts"] == []


def test_outputs_that_did_not_decode_are_no_boxes(cut: Cut, scenes: list[dict[str, str]], tmp_path: Path) -> None:
    result = cut(None, scenes)
    assert result["ok"], result
    assert result["facts"]["counts"] == [0, 0]
    assert len(inputs(tmp_path)) == 0


def test_beyond_the_edge_of_a_picture_is_black(cut: Cut, scenes: list[dict[str, str]], tmp_path: Path) -> None:
    right_half = [[20, 0], [60, 0], [60, 30], [20, 30]]
    away = [[100, 100], [140, 100], [140, 130], [100, 130]]
    around = [[-20, -15], [60, -15], [60, 45], [-20, 45]]
    result = cut([[], [right_half, away, around]], scenes)
    assert result["ok"], result
    found = inputs(tmp_path)[..., 0]
    assert found[0, :, :3].min() == 1.0
    assert found[0, :, 5:].max() == 0.0
    assert found[1].max() == 0.0
    assert found[2, 3:5, 3:5].min() == 1.0
    assert found[2, 0].max() == found[2, :, 0].max() == 0.0
    assert crop(tmp_path, "1-2.png").shape == (60, 80, 3)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ([[25, 5]] * 4, (1, 1)),
        ([[22, 5], [38, 5], [38, 5], [22, 5]], (1, 16)),
        ([[25, 2], [25, 2], [25, 28], [25, 28]], (26, 1)),
        ([[22, 2], [30, 12], [38, 22], [30, 12]], (13, 13)),
        ([[25.0, 5.0], [25.4, 5.0], [25.4, 5.4], [25.0, 5.4]], (1, 1)),
        ([[22, 2], [38, 12], [38, 2], [22, 12]], (10, 19)),
        ([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]], (80, 80)),
    ],
    ids=["point", "row", "column", "slanted line", "part of a pixel", "crosses itself", "enormous"],
)
def test_a_box_of_hardly_any_shape_is_a_crop_all_the_same(
    cut: Cut, scenes: list[dict[str, str]], tmp_path: Path, box: list[list[float]], size: tuple[int, int]
) -> None:
    result = cut([[], [box]], scenes)
    assert result["ok"], result
    assert crop(tmp_path, "1-0.png").shape == (*size, 3)
    assert np.isfinite(inputs(tmp_path)).all()
    assert len(inputs(tmp_path)) == 1


def test_boxes_are_in_the_picture_as_its_exif_turns_it(cut: Cut, tmp_path: Path) -> None:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[20:, :10] = 255  # at the lower left of the file, the upper left of what is shown
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    result = cut([[[[0, 0], [10, 0], [10, 10], [0, 10]]]], [listed(tmp_path / "turned.png")])
    assert result["ok"], result
    assert inputs(tmp_path).min() > 0.99


def test_a_scene_without_boxes_need_not_decode(cut: Cut, scenes: list[dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes((tmp_path / "half.png").read_bytes()[:40])
    images = [listed(tmp_path / "cut.png"), scenes[1]]
    assert cut([[], [WHOLE]], images)["ok"]
    result = cut([[WHOLE], []], images)
    assert result["type"] == "ValueError"
    assert result["message"].startswith(f"{tmp_path}/cut.png is not an image that can be read (")


def test_a_scene_that_changed_meanwhile_is_told(cut: Cut, scenes: list[dict[str, str]], tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "white.png")
    result = cut([[], []], scenes)
    assert result["type"] == "Changed"
    assert result["message"] == f"the image {tmp_path}/white.png changed while the run was planned; run again"


def test_a_recognizer_that_breaks_its_promise_is_told_with_the_box(cut: Cut, scenes: list[dict[str, str]]) -> None:
    result = cut([[], [WHOLE, WHOLE]], scenes, "sloppy")
    assert result["type"] == "ValueError"
    assert result["message"].startswith("preprocess of box 0 of white.png gives 'image' as float64[1, 8, 8, 1]")
