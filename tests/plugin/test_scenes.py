"""Pictures of every kind through a detector: what is odd is judged, what is broken is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import DETECTORS, Run

Judge = Callable[..., Run]
Refuse = Callable[..., None]

ALONE = "finder/pack/float32"
PIPELINE = "pipeline:finder+reader/pack+pack/float32"
WORD = (7, 4, 27, 8)
"""Left, top, right and bottom of the dark row on each of these boards."""


def _odd(folder: Path) -> None:
    """Pictures that decode, each with a dark row at the same place as it is shown."""
    root = folder / "odd"
    root.mkdir()
    board = np.full((30, 60), 255, np.uint8)
    board[WORD[1] : WORD[3], WORD[0] : WORD[2]] = 0
    color = np.repeat(board[..., None], 3, axis=2)
    Image.new("L", (1, 1), 255).save(root / "pixel.png")
    Image.new("L", (1, 1), 0).save(root / "dark-pixel.png")
    for name, size in (("wide", (10000, 10)), ("high", (10, 10000))):
        Image.new("L", size, 255).save(root / f"{name}.png")
    Image.fromarray(color).convert("CMYK").save(root / "cmyk.jpg", quality=100, subsampling=0)
    Image.fromarray(board.astype(np.uint16) * 257).save(root / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the file lies on its side: its top is shown at the right
    Image.fromarray(np.rot90(color)).save(root / "turned.jpg", quality=100, subsampling=0, exif=exif)
    truth = [[WORD[0], WORD[1]], [WORD[2], WORD[1]], [WORD[2], WORD[3]], [WORD[0], WORD[3]]]
    for name in ("cmyk", "deep", "turned"):
        (root / f"{name}.json").write_text(json.dumps({"words": [{"polygon": truth, "text": "aaaaa"}]}))
    (root / "gt_wide.txt").write_text("")
    (root / "lost.json").write_text('{"words": []}')  # of a picture that is not there: nobody asks for it


@pytest.fixture(scope="module")
def odd(run_detectors: Judge) -> Run:
    return run_detectors(
        *("--ocr-model=finder", "--ocr-model=pipeline:finder+reader", "--ocr-mode=float32", "--ocr-images=odd"),
        *("--ocr-check=boxes", "--ocr-check=pipeline", "--ocr-check=accuracy", "--ocr-check=preprocessing"),
        "--ocr-pictures=pictures",
        prepare=_odd,
    )


def test_odd_pictures_are_judged(odd: Run) -> None:
    assert odd.status == 0, odd.text
    assert "6 checks ran: 6 passed" in odd.text
    assert set(odd.boxes(ALONE)) == set(odd.boxes(PIPELINE)) == {
        *("pixel.png", "dark-pixel.png", "wide.png", "high.png", "cmyk.jpg", "deep.png", "turned.jpg"),
    }  # fmt: skip
    assert len(list((odd.folder / "pictures").rglob("*.png"))) == 14


@pytest.mark.parametrize("name", ["pixel.png", "wide.png", "high.png"])
def test_nothing_is_found_where_there_is_nothing(odd: Run, name: str) -> None:
    assert odd.boxes(ALONE)[name] == odd.boxes(ALONE, "source")[name] == odd.boxes(PIPELINE)[name] == []


def test_a_single_pixel_can_be_a_word(odd: Run) -> None:
    assert odd.boxes(ALONE)["dark-pixel.png"] == [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]]
    (word,) = odd.boxes(PIPELINE)["dark-pixel.png"]
    assert word["text"] == "aaaaa"


@pytest.mark.parametrize("name", ["cmyk.jpg", "deep.png", "turned.jpg"])
def test_boxes_are_in_the_picture_as_it_is_shown(odd: Run, name: str) -> None:
    for side in ("source", "artifact"):
        (box,) = odd.boxes(ALONE, side)[name]
        left, top, right, bottom = WORD
        np.testing.assert_allclose(box, [[left, top], [right, top], [right, bottom], [left, bottom]], atol=1)
        (word,) = odd.boxes(PIPELINE, side)[name]
        assert word["text"] == "aaaaa"


def test_the_ground_truth_is_in_the_picture_as_it_is_shown(odd: Run) -> None:
    for case in (ALONE, PIPELINE):
        message = odd.case(case)["accuracy"]["message"]
        assert "3 words in 4 images" in message
        assert odd.value(case, "accuracy", "recall") == odd.value(case, "accuracy", "source_recall") == 1.0


BROKEN = ["half a file", "no picture", "an empty file"]


@pytest.mark.parametrize("model", ["finder", "pipeline:finder+reader"])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_broken_picture_is_one_sentence_with_its_name(
    refuse: Refuse, downstream: Path, model: str, broken: str, suffix: str
) -> None:
    path = downstream / "detectors" / "finder" / "boards" / f"3{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes({"half a file": whole[: len(whole) // 2], "no picture": b"no picture"}.get(broken, b""))
    refuse([*DETECTORS, f"--ocr-model={model}"], f"the image {path} does not decode (")


@pytest.mark.parametrize("model", ["finder", "pipeline:finder+reader"])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("2.json", "{", ["2.json is no JSON", "expected {'words': [...]}"]),
        ("2.json", "[]", ["2.json has no list 'words'"]),
        ("2.json", '{"words": [{"polygon": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}]}', ["2.json, word 1: 'polygon' is not"]),
        (
            "2.json",
            '{"words": [{"polygon": [0, 0, 9]}]}',
            ["2.json, word 1: 'polygon' is not a list of at least three"],
        ),
        ("2.json", '{"words": [{"polygon": [[0, 0], [9, 0]]}]}', ["2.json, word 1: 'polygon' is not"]),
        ("2.json", '{"words": [{"polygon": [[0, 0], [9, 0], [NaN, 4]]}]}', ["2.json, word 1: 'polygon' is not"]),
        ("2.json", '{"words": [{"text": "abc"}]}', ["2.json, word 1: 'polygon' is not"]),
        ("gt_2.txt", "0,0,9,0,9,4,0,4,abc\n", ["2.png has two ground truths, 2.json and gt_2.txt: keep one"]),
    ],
)
def test_a_ground_truth_that_is_none_is_one_sentence_with_its_name(  # noqa: PLR0917
    refuse: Refuse, downstream: Path, model: str, name: str, content: str, words: list[str]
) -> None:
    (downstream / "detectors" / "finder" / "boards" / name).write_text(content)
    refuse([*DETECTORS, f"--ocr-model={model}"], *words)


@pytest.mark.parametrize("line", ["0,0,9,0,9,4,0,abc", "a,b,c", "0,0,9,0,9,4,0,inf,abc"])
def test_a_line_of_icdar_that_is_none(refuse: Refuse, downstream: Path, line: str) -> None:
    boards = downstream / "detectors" / "finder" / "boards"
    (boards / "2.json").unlink()
    (boards / "gt_2.txt").write_text(f"0,0,9,0,9,4,0,4,fine\n{line}\n")
    refuse([*DETECTORS, "--ocr-model=finder"], "gt_2.txt, line 2", f"'{line}' is not x1,y1,x2,y2,x3,y3,x4,y4,text")


def test_a_folder_without_pictures(refuse: Refuse, downstream: Path) -> None:
    (downstream / "truth").mkdir()
    (downstream / "truth" / "1.json").write_text('{"words": []}')
    refuse([*DETECTORS, "--ocr-model=finder", "--ocr-images=truth"], "no evaluation images in", "--ocr-images")
