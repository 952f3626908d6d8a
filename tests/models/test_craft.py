"""CRAFT with its real weights: what it finds, boxes of maps with known answers, and the recipe for the phone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocr_conformance.job import import_file
from ocr_conformance.model import build

Run = Callable[..., dict[str, Any]]
PRELOAD = ("torch",)
ADAPTER = Path(__file__).parents[2] / "models" / "craft" / "model.py"
needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed")


def reference(variant: str = "320", path: str | None = None) -> dict[str, Any]:
    weights = {"name": "craft_mlt_25k", "path": path, "sha256": ""}
    return {"adapter": f"{ADAPTER}:Craft", "variant": variant, "weights": weights}


def recipe() -> Any:
    return import_file(str(ADAPTER.with_name("recipe.py")))


@pytest.fixture
def craft_mlt_25k(real_weights: Callable[[str], str]) -> str:
    """Path of the real weights, or skip."""
    return real_weights("craft_mlt_25k.pth")


def test_sizes() -> None:
    for variant, side in (("320", 320), ("640", 640), ("32", 32), ("1280", 1280)):
        model = build(reference(variant))
        assert model.inputs()[0].shape == (1, side, side, 3)
        assert model.outputs()[0].shape == (1, side // 2, side // 2, 2)
    for variant in ("", "100", "w320", "16", "0320", "12800"):
        with pytest.raises(ValueError, match=rf"craft has no variant '{variant}' \(it has N: NxN pixels"):
            build(reference(variant))


def test_the_contract_s_variants_are_the_adapter_s() -> None:
    from ocr_conformance.registry import Registry

    registry = Registry.built_in()
    assert [variant for _, variant in registry.variants(["craft"])] == ["320"]
    assert [variant for _, variant in registry.variants(["craft:640", "craft:800"])] == ["640", "800"]
    assert registry.models["craft"].contract.model.kind == "detector"


# --- preprocessing


def test_the_declared_range_is_that_of_black_and_white(tmp_path: Path) -> None:
    spec = build(reference("32")).inputs()[0]
    for color, bound in (((0, 0, 0), "low"), ((255, 255, 255), "high")):
        Image.new("RGB", (32, 32), color).save(tmp_path / "plain.png")
        image = build(reference("32")).phone_preprocess(str(tmp_path / "plain.png"))["image"]
        extreme = image.min() if bound == "low" else image.max()
        np.testing.assert_allclose(extreme, getattr(spec, bound), rtol=1e-6)
        assert spec.low - 1e-6 <= image.min() <= image.max() <= spec.high + 1e-6


@needs_opencv
def test_the_phone_feeds_what_the_source_feeds(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    made = {"rgb": (400, 300), "long": (10_000, 10), "dot": (1, 1), "small": (90, 40), "exact": (320, 320)}
    for name, size in made.items():
        Image.fromarray(noise[..., :3]).resize(size, Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    for mode in ("L", "P", "RGBA", "CMYK"):
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.fromarray(noise).convert("RGB").resize((500, 200)).convert(mode).save(tmp_path / f"{mode}.{suffix}")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).resize((500, 200)).save(tmp_path / "deep.png")
    model = build(reference())
    for path in (*sorted(tmp_path.iterdir()), *sorted(shared("scenes").iterdir())):
        source, phone = (recipe(str(path))["image"] for recipe in (model.preprocess, model.phone_preprocess))
        assert source.shape == phone.shape == (1, 320, 320, 3)
        assert source.dtype == phone.dtype == np.float32
        assert np.abs(source - phone).max() <= 1.001 / 255 / min(recipe().STD), path.name


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    model = build(reference())
    for prepare in (model.preprocess, model.phone_preprocess):
        with pytest.raises(ValueError, match=r"bad\.png is not an image that can be read"):
            prepare(str(tmp_path / "bad.png"))


# --- boxes of maps with known answers


def maps(side: int = 160) -> Any:
    """Maps ``[side, side, 2]`` without text."""
    return np.zeros((side, side, 2), np.float32)


def found(*samples: Any, sizes: list[tuple[int, int]] | None = None) -> Any:
    given = {"maps": np.stack(samples)}
    sizes = [(320, 320)] * len(samples) if sizes is None else sizes
    return build(reference(str(2 * len(samples[0])))).boxes(given, sizes)


@needs_opencv
def test_no_text_gives_no_boxes_and_samples_stay_apart() -> None:
    word = maps()
    word[40:50, 30:80, 0] = 1
    # 10 rows of stroke: widened by a square of 7, 3 on every side; twice that on the canvas.
    box = [[54, 74], [164, 74], [164, 104], [54, 104]]
    before, boxes, after = found(maps(), word, maps())
    assert before == after == []
    np.testing.assert_allclose(boxes, [box], atol=1e-3)
    with pytest.raises(ValueError, match="zip"):
        found(word, sizes=[])


@needs_opencv
@given(st.integers(1, 20), st.integers(1, 60), st.integers(45, 80), st.integers(45, 60))
def test_a_rectangle_is_widened_by_its_stroke(height: int, width: int, top: int, left: int) -> None:
    word = maps()
    word[top : top + height, left : left + width, 0] = 0.9
    reach = int((min(height, width)) ** 0.5 * 2)
    before, after = reach - (1 + reach) // 2, (1 + reach) // 2
    sides = [2 * (left - before), 2 * (top - before), 2 * (left + width - 1 + after), 2 * (top + height - 1 + after)]
    expected = [[sides[i], sides[j]] for i, j in ((0, 1), (2, 1), (2, 3), (0, 3))]
    (boxes,) = found(word)
    if height * width < 10:
        assert boxes == []
    else:
        np.testing.assert_allclose(boxes, [expected], atol=1e-3)


@needs_opencv
def test_thresholds() -> None:
    def boxes(character: float, around: float) -> int:
        word = maps()
        word[40:50, 30:80, 0] = around
        word[45, 50, 0] = character
        return len(found(word)[0])

    assert boxes(0.75, 0.45) == 1
    assert boxes(0.65, 0.45) == 0  # no character is sure enough
    assert boxes(0.75, 0.39) == 0  # one pixel is no word
    assert boxes(np.nan, 0.45) == 0


@needs_opencv
def test_a_link_joins_letters_and_is_no_part_of_the_box_itself() -> None:
    letters = maps()
    letters[40:52, 30:40, 0] = letters[40:52, 60:70, 0] = 1
    assert len(found(letters)[0]) == 2
    letters[44:48, 36:64, 1] = 1
    (joined,) = found(letters)
    assert len(joined) == 1
    tail = letters.copy()
    tail[44:48, 64:120, 1] = 1  # a link that leads nowhere widens the stroke's estimate at most
    (longer,) = found(tail)
    assert len(longer) == 1
    assert max(x for x, _ in longer[0]) <= max(x for x, _ in joined[0]) + 2


@needs_opencv
def test_a_slanted_word_has_a_slanted_box_and_a_diamond_an_upright_one() -> None:
    import cv2

    slanted = np.zeros((160, 160), np.float32)
    rectangle = ((80.0, 80.0), (90.0, 14.0), 20.0)
    cv2.fillPoly(slanted, [cv2.boxPoints(rectangle).round().astype(np.int32)], 1.0)
    (box,) = found(np.stack([slanted, 0 * slanted], -1))[0]
    (x0, y0), (x1, y1) = box[:2]
    assert np.degrees(np.arctan2(y1 - y0, x1 - x0)) == pytest.approx(20, abs=2)
    np.testing.assert_allclose(np.mean(box, 0), [160, 160], atol=3)

    diamond = np.zeros((160, 160), np.float32)
    cv2.fillPoly(diamond, [np.array([[80, 60], [100, 80], [80, 100], [60, 80]], np.int32)], 1.0)
    (box,) = found(np.stack([diamond, 0 * diamond], -1))[0]
    assert {x for x, _ in box} == {box[0][0], box[1][0]}
    assert box[0][1] == box[1][1] < box[2][1] == box[3][1]


@needs_opencv
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from([0.0, np.nan, np.inf, -np.inf, 3e38]))
def test_whatever_a_broken_network_gives_is_boxes_or_none(seed: int, coarse: int, spoilt: float) -> None:
    random = np.random.default_rng(seed)
    noise = np.kron(random.random((coarse, coarse, 2), np.float32), np.ones((-(-32 // coarse),) * 2 + (1,), np.float32))
    noise = noise[:32, :32]
    noise[random.integers(0, 32), random.integers(0, 32)] = spoilt
    (boxes,) = found(noise, sizes=[(64, 64)])
    for box in boxes:
        corners = np.array(box)
        assert corners.shape == (4, 2)
        assert np.isfinite(corners).all()
        assert corners.min() > -64
        assert corners.max() < 128


@needs_opencv
def test_boxes_are_in_pixels_of_the_original() -> None:
    word = maps()
    word[10:20, 10:60, 0] = 1
    (native,), (large,), (tall,), (small,) = found(
        *[word] * 4, sizes=[(320, 320), (640, 1280), (10_000, 10), (200, 100)]
    )
    np.testing.assert_allclose(large, np.array(native) * 4)
    np.testing.assert_allclose(tall, np.array(native) * [10, 31.25])
    np.testing.assert_allclose(small, native)  # not enlarged


# --- the network

JOBS = '''
import numpy as np
import torch
from PIL import Image

from ocr_conformance.convert.scenes import read_rgb
from ocr_conformance.model import build


def find(job):
    """Boxes per picture, and how far the portable form is from the source."""
    model = build(job.params["model"])
    images = {"image": np.concatenate([model.preprocess(path)["image"] for path in job.params["images"]])}
    maps = model.predict(images)
    sizes = [read_rgb(path).shape[:2] for path in job.params["images"]]
    with torch.inference_mode():
        portable = model.torch_model(form="portable")(torch.from_numpy(images["image"][:1])).numpy()
    return {
        "boxes": [len(boxes) for boxes in model.boxes(maps, sizes)],
        "parameters": model.parameters(),
        "shape": list(maps["maps"].shape),
        "range": [float(maps["maps"].min()), float(maps["maps"].max())],
        "portable": float(np.abs(portable - maps["maps"][:1]).max()),
    }


def refuse(job):
    return {"unreachable": build(job.params["model"]).torch_model(form=job.params["form"])}
'''


@needs_opencv
def test_what_it_finds_in_the_scenes(
    craft_mlt_25k: str, shared: Callable[[str], Path], tmp_path: Path, run_job: Run
) -> None:
    """The weights load strictly, all 20.8 million; where the boxes lie was looked at (README)."""
    (tmp_path / "jobs.py").write_text(JOBS)
    Image.new("RGB", (640, 480), (90, 120, 90)).save(tmp_path / "wall.png")
    scenes = sorted(str(path) for path in shared("scenes").iterdir())
    result = run_job(
        f"{tmp_path}/jobs.py:find",
        {"model": reference("320", craft_mlt_25k), "images": [*scenes, str(tmp_path / "wall.png")]},
    )
    assert result["ok"], result
    facts = result["facts"]
    assert facts["boxes"] == [pytest.approx(23, abs=1), pytest.approx(19, abs=1), 1, 0]
    assert facts["parameters"] == 20_780_770
    assert facts["shape"] == [4, 160, 160, 2]
    assert -0.1 < facts["range"][0] < 0.05
    assert 0.9 < facts["range"][1] < 1.1
    assert facts["portable"] == 0


def test_there_are_no_seeded_weights_and_no_third_form(tmp_path: Path, run_job: Run, craft_mlt_25k: str) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    result = run_job(f"{tmp_path}/jobs.py:refuse", {"model": reference(), "form": "source"})
    assert result["message"] == "craft's weights are a file: there are none to draw from a seed"
    result = run_job(f"{tmp_path}/jobs.py:refuse", {"model": reference("320", craft_mlt_25k), "form": "fast"})
    assert result["message"] == "craft has no form 'fast' (it has: source, portable)"
