"""The Keras CRAFT of keras-ocr: that it is the PyTorch one, to the last box."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., dict[str, Any]]
MODELS = Path(__file__).parents[2] / "models"
PRELOAD = (f"{MODELS / 'keras-ocr-craft' / 'model.py'}:import_keras_ocr",)

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("keras_ocr") is None, reason="the model is the package keras-ocr, which is not installed"
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch reads the weights, and is not installed"
)


@pytest.fixture(autouse=True)
def legacy_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the contract's environment has it, for the children."""
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")


@pytest.fixture
def craft_mlt_25k(real_weights: Callable[[str], str]) -> str:
    """Path of the real weights, or skip."""
    return real_weights("craft_mlt_25k.pth")


def reference(model: str, path: str | None, variant: str = "320") -> dict[str, Any]:
    adapter = {"craft": "Craft", "keras-ocr-craft": "KerasOCRCraft"}[model]
    weights = {"name": "craft_mlt_25k", "path": path, "sha256": ""}
    return {"adapter": f"{MODELS / model / 'model.py'}:{adapter}", "variant": variant, "weights": weights}


def test_sizes_are_those_of_craft() -> None:
    from ocr_conformance.model import build

    ours, theirs = (build(reference(model, None, "640")) for model in ("keras-ocr-craft", "craft"))
    assert ours.inputs() == theirs.inputs()
    assert ours.outputs() == theirs.outputs()
    with pytest.raises(ValueError, match=r"keras-ocr-craft has no variant '330' \(it has N: NxN pixels"):
        build(reference("keras-ocr-craft", None, "330"))


@needs_package
@needs_torch
def test_the_same_picture_gives_the_same_maps_and_boxes(
    run_job: Run, shared: Callable[[str], Path], craft_mlt_25k: str
) -> None:
    scenes = sorted(str(path) for path in shared("scenes").iterdir())
    result = run_job(f"{__file__}:compare", {"weights": craft_mlt_25k, "images": scenes})
    assert result["ok"], result
    facts = result["facts"]
    assert facts["maps"] < 1e-5
    assert facts["parameters"] == [20_780_770] * 2
    for path, ours, theirs in zip(scenes, *facts["boxes"], strict=True):
        assert ours, path
        np.testing.assert_allclose(ours, theirs, atol=0.01, err_msg=path)
    assert facts["compute_input"] < 1e-6


def own_module(model: Any) -> Any:
    """The module of an adapter."""
    return sys.modules[type(model).__module__]


def compare(job: Any) -> dict[str, Any]:
    """A job: both networks on the same pictures, and the package's own normalisation on the same canvas."""
    from ocr_conformance.convert.scenes import letterbox, read_rgb
    from ocr_conformance.model import build

    job.stage("source")
    paths = job.params["images"]
    models = [build(reference(model, job.params["weights"])) for model in ("keras-ocr-craft", "craft")]
    images = {"image": np.concatenate([models[0].preprocess(path)["image"] for path in paths])}
    maps = [model.predict(images) for model in models]
    scenes = [read_rgb(path) for path in paths]
    normalised = own_module(models[0]).import_keras_ocr().detection.compute_input(letterbox(scenes[0], 320))
    return {
        "maps": float(np.abs(maps[0]["maps"] - maps[1]["maps"]).max()),
        "boxes": [
            model.boxes(own, [scene.shape[:2] for scene in scenes]) for model, own in zip(models, maps, strict=True)
        ],
        "parameters": [model.parameters() for model in models],
        "compute_input": float(np.abs(normalised - images["image"][0]).max()),
    }


@needs_package
@needs_torch
def test_weights_that_do_not_fit_are_named(run_job: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"nonsense")
    params = {"unroll": False}
    for path, message in (
        (str(tmp_path / "bad.pth"), "weights bad.pth do not fit keras-ocr's CRAFT: "),
        (str(tmp_path / "craft.npz"), "weights craft.npz: the package reads .pth and .h5"),
        (None, "keras-ocr-craft's weights are a file: there are none to draw from a seed"),
    ):
        result = run_job(
            "ocr_conformance.convert.saved_model:export", {**params, "model": reference("keras-ocr-craft", path)}
        )
        assert result["type"] == "ValueError"
        assert result["stage"] == "source"
        assert result["message"].startswith(message)
