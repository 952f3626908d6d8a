"""EasyOCR's recognizer with its real weights: what it reads, in which widths, and the recipe for the phone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocr_conformance.model import build

Run = Callable[..., dict[str, Any]]
PRELOAD = ("torch",)
ADAPTER = Path(__file__).parents[2] / "models" / "easyocr" / "model.py"
needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")


def reference(variant: str = "", path: str | None = None) -> dict[str, Any]:
    weights = {"name": "english_g2", "path": path, "sha256": ""}
    return {"adapter": f"{ADAPTER}:EasyOCR", "variant": variant, "weights": weights}


@pytest.fixture
def english_g2(real_weights: Callable[[str], str]) -> str:
    """Path of the real weights, or skip."""
    return real_weights("english_g2.pth")


def test_widths() -> None:
    assert build(reference()).inputs()[0].shape == (1, 1, 64, 320)
    model = build(reference("w512"))
    assert model.inputs()[0].shape == (1, 1, 64, 512)
    assert model.outputs()[0].shape == (1, 127, 97)
    for variant in ("w8", "w", "320", "wide"):
        with pytest.raises(ValueError, match=rf"easyocr has no variant '{variant}'"):
            build(reference(variant))


def test_decoding() -> None:
    model = build(reference())
    text = "A €1"
    classes = [index for character in text for index in (0, *(model.alphabet.index(character) + 1,) * 2)]
    assert model.decode({"scores": np.eye(97)[[classes]]}) == [text]


@needs_opencv
@pytest.mark.parametrize("size", [(30, 90), (64, 200), (100, 900), (200, 40), (1, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_phone_feeds_what_the_source_feeds(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    model = build(reference())
    noise = np.random.default_rng(0).integers(0, 256, (3, 8, 3), np.uint8)
    Image.fromarray(noise).resize((size[1], size[0]), Image.Resampling.BILINEAR).convert(mode).save(tmp_path / "w.png")
    source, phone = (recipe(str(tmp_path / "w.png"))["image"] for recipe in (model.preprocess, model.phone_preprocess))
    assert source.shape == phone.shape == (1, 1, 64, 320)
    assert np.abs(source - phone).max() <= 2 * 1.5 / 255
    used = min(-(-64 * size[1] // size[0]), 320)
    np.testing.assert_array_equal(
        source[..., used - 1 :], np.broadcast_to(source[..., used - 1 : used], source[..., used - 1 :].shape)
    )


JOBS = """
import numpy as np

from ocr_conformance.model import build


def read(job):
    model = build(job.params["model"])
    images = {"image": np.concatenate([model.preprocess(path)["image"] for path in job.params["images"]])}
    return {"texts": model.decode(model.predict(images)), "parameters": model.parameters()}
"""


@needs_opencv
def test_it_reads_95_of_the_100_crops(
    english_g2: str, shared: Callable[[str], Path], tmp_path: Path, run_job: Run
) -> None:
    folder = shared("words/represent_data")
    labels = [line.split("\t") for line in (folder / "labels.tsv").read_text().splitlines()]
    (tmp_path / "jobs.py").write_text(JOBS)
    result = run_job(
        f"{tmp_path}/jobs.py:read",
        {"model": reference("", english_g2), "images": [str(folder / file) for file, _ in labels]},
    )
    assert result["ok"], result
    plain = [
        ["".join(filter(str.isalnum, text.lower())) for text in pair]
        for pair in zip(result["facts"]["texts"], (label for _, label in labels), strict=True)
    ]
    assert abs(sum(ours == truth for ours, truth in plain) - 95) <= 1
    assert result["facts"]["parameters"] == 3_782_369
