"""Detectors and a pipeline: CRAFT's real weights on real scenes, in two frameworks; EAST's angle; words end to end."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run

Judge = Callable[..., Run]

torch_here = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="litert-torch is not installed"
)


@torch_here
def test_craft_finds_the_same_boxes_in_real_scenes(judge: Judge, shared: Callable[[str], Path], tmp_path: Path) -> None:
    scenes = shared("scenes")
    run = judge(
        "--ocr-model=craft", "--ocr-route=litert-torch", "--ocr-mode=float32", "--ocr-mode=dynamic-range",
        f"--ocr-images={scenes}", f"--ocr-pictures={tmp_path / 'pictures'}", "--ocr-check=tensors", "--ocr-check=boxes",
        "--ocr-check=size",
    )  # fmt: skip
    assert run.status == 0, run.text
    for mode, recall in (("float32", 1.0), ("dynamic-range", 0.84)):
        case = f"craft:320/litert-torch/{mode}"
        assert len(run.check(case, "boxes")["data"]["images"]) == 3
        assert run.value(case, "boxes", "recall") >= recall
        assert run.value(case, "boxes", "precision") >= recall
    assert run.value("craft:320/litert-torch/dynamic-range", "size", "ratio") < 0.26
    drawn = {path.name for path in (tmp_path / "pictures").rglob("*.png")}
    assert drawn == {"craft_000.jpg.png", "easyocr_english.png.png", "keras_ocr_test_image.jpg.png"}


@torch_here
def test_the_pipeline_finds_and_reads_the_same_words(judge: Judge) -> None:
    run = judge(
        "--ocr-model=pipeline:craft+easyocr", "--ocr-route=litert-torch+litert-torch-portable", "--ocr-mode=float32",
        "--ocr-mode=dynamic-range", "--ocr-check=boxes", "--ocr-check=pipeline", "--ocr-check=accuracy",
    )  # fmt: skip
    assert run.status == 0, run.text
    for mode in ("float32", "dynamic-range"):
        case = f"pipeline:craft+easyocr/litert-torch+litert-torch-portable/{mode}"
        assert run.value(case, "accuracy", "source_hmean") >= 0.95
        assert run.value(case, "accuracy", "hmean") >= 0.93
        assert run.value(case, "pipeline", "same") >= 0.95


@torch_here
@pytest.mark.usefixtures("keras_ocr")
def test_keras_ocrs_craft_is_the_same_network(judge: Judge, shared: Callable[[str], Path]) -> None:
    run = judge(
        "--ocr-model=keras-ocr-craft", "--ocr-route=tf-lite", "--ocr-mode=float32", f"--ocr-images={shared('scenes')}",
        "--ocr-check=twin", "--ocr-check=boxes",
    )  # fmt: skip
    assert run.status == 0, run.text
    assert run.check("keras-ocr-craft:320/tf-lite/float32", "twin")["verdict"] == "passed"


@pytest.mark.usefixtures("keras3")
def test_east_loses_the_angle_in_8_bits(judge: Judge) -> None:
    run = judge(
        "--ocr-model=east", "--ocr-route=litert-quantizer", "--ocr-mode=float32", "--ocr-mode=int8",
        "--ocr-check=boxes", "--ocr-check=accuracy",
    )  # fmt: skip
    assert run.status == 0, run.text
    assert run.check("east:320/litert-quantizer/float32", "boxes")["verdict"] == "passed"
    assert run.check("east:320/litert-quantizer/float32", "accuracy")["verdict"] == "skipped"  # it finds no text
    lost = run.check("east:320/litert-quantizer/int8", "boxes")
    assert lost["verdict"] == "unsupported"
    assert "the angle is lost" in lost["message"]
