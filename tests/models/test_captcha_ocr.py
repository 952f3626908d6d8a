"""The captcha recognizer: what the phone must feed, how it decodes, and that every form of it is the same network."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., dict[str, Any]]
PRELOAD = ("tensorflow", "keras")

ADAPTER = Path(__file__).parents[2] / "models" / "captcha-ocr" / "model.py"

needs_keras = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("tf_keras") is None,
    reason="the model needs tensorflow and tf_keras, which are not installed",
)


def reference(variant: str = "", path: str | None = None) -> dict[str, Any]:
    weights = {"name": "file" if path else "seeded", "path": path, "sha256": ""}
    return {"adapter": f"{ADAPTER}:CaptchaOCR", "variant": variant, "weights": weights}


def module() -> Any:
    import sys

    from ocr_conformance.model import build

    return sys.modules[type(build(reference())).__module__]


def test_decoding_merges_repeats_drops_blanks_and_cuts() -> None:
    from ocr_conformance.model import build

    model = build(reference())
    frames = np.array([[19, 0, 0, 19, 0, 1, 1, 18, 19, 2, 3, 4]])
    assert model.decode({"probabilities": np.eye(20)[frames]}) == ["223y4"]
    model.alphabet = "wxy" + model.alphabet[:16]
    assert model.decode({"probabilities": np.eye(20)[frames]}) == ["wwxpy"]


def test_weights_are_counted_and_pinned() -> None:
    """Another hash means another seeded network: give the recipe in the contract a new name."""
    from ocr_conformance.model import build

    assert build(reference()).parameters() == 432_596
    assert digest(module().seeded_weights(20)) == "41fe83cc0d3320db68ed11663625ac708a6365a9377034704bddc843247f3c35"


def digest(weights: dict[str, Any]) -> str:
    import hashlib

    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].astype("<f4").tobytes())
    return found.hexdigest()


def test_an_unknown_variant_is_refused() -> None:
    from ocr_conformance.model import build

    with pytest.raises(ValueError, match="captcha-ocr has no variant 'keras4'"):
        build(reference("keras4"))


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """PNG files of every kind that a phone may hold, of the data set's size and of others."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 150, 4), np.uint8)
    made = {
        "rgb": Image.fromarray(noise[..., :3]),
        "rgba": Image.fromarray(noise),
        "gray": Image.fromarray(noise[..., 0]),
        "gray-alpha": Image.fromarray(noise[..., :2].copy(), "LA"),
        "palette": Image.fromarray(noise[..., :3]).quantize(32),
        "deep": Image.fromarray(noise[..., 0].astype(np.uint16) * 256 + noise[..., 1]),
        "bilevel": Image.fromarray(noise[..., 0] > 128),
        "wide": Image.fromarray(noise[:8, :, 0]),
        "exact": Image.fromarray(np.tile(noise[:50, :100, 0], (1, 2))),
    }
    for name, image in made.items():
        image.save(tmp_path / f"{name}.png")
    return [str(tmp_path / f"{name}.png") for name in made]


@needs_keras
def test_the_phone_feeds_what_the_example_feeds(run_job: Run, images: list[str]) -> None:
    result = run_job(f"{__file__}:preprocess", {"model": reference(), "images": images})
    assert result["ok"], result
    for path, difference in result["facts"]["difference"].items():
        assert difference < 1e-5, path
    assert result["facts"]["transposed"]


def preprocess(job: Any) -> dict[str, Any]:
    """A job: both recipes on each image; and whether the width really comes first."""
    from ocr_conformance.model import build

    job.stage("source")
    model = build(job.params["model"])
    pairs = {
        path: (model.preprocess(path)["image"], model.phone_preprocess(path)["image"]) for path in job.params["images"]
    }
    assert all(source.shape == phone.shape == (1, 200, 50, 1) for source, phone in pairs.values())
    exact = np.asarray(Image.open(job.params["images"][-1]), np.float32) / 255
    return {
        "difference": {path: float(np.abs(source - phone).max()) for path, (source, phone) in pairs.items()},
        "transposed": bool(np.allclose(list(pairs.values())[-1][0][0, :, :, 0], exact.T, atol=1e-6)),
    }


@needs_keras
def test_an_image_that_does_not_decode_is_named(run_job: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    result = run_job(f"{__file__}:preprocess", {"model": reference(), "images": [str(tmp_path / "bad.png")]})
    assert result["type"] == "ValueError"
    assert result["message"].startswith(f"{tmp_path / 'bad.png'} is not an image that can be read (")


@needs_keras
def test_all_forms_are_one_network(run_job: Run) -> None:
    result = run_job(f"{__file__}:compare")
    assert result["ok"], result
    facts = result["facts"]
    assert facts["difference"] == {
        name: pytest.approx(0, abs=1e-5)
        for name in ("exported", "unrolled", "tf-keras", "tf-keras unrolled", "from npz")
    }
    assert facts["parameters"] == 432_596
    assert len(set(facts["texts"])) > len(facts["texts"]) // 2
    assert facts["texts"] == facts["keras texts"]


def compare(job: Any) -> dict[str, Any]:
    """A job: the network as shipped against every form of it, on noise with structure."""
    import keras

    from ocr_conformance.model import build

    job.stage("source")
    coarse = np.random.default_rng(2).random((16, 20, 5, 1), np.float32)
    image = np.kron(coarse, np.ones((1, 10, 10, 1), np.float32))
    shipped, legacy = build(reference()), build(reference("tf-keras"))
    expected = shipped.predict({"image": image})
    saved = str(job.out / "weights.npz")
    np.savez(saved, **module().seeded_weights(20))
    forms = {
        "exported": shipped.keras_model(),
        "unrolled": shipped.keras_model(unroll=True),
        "tf-keras": legacy.keras_model(),
        "tf-keras unrolled": legacy.keras_model(unroll=True),
        "from npz": build(reference(path=saved)).keras_model(),
    }
    probabilities = expected["probabilities"]
    (decoded,), _ = keras.ops.nn.ctc_decode(probabilities, np.full(16, 50), strategy="greedy", mask_index=19)
    spelled = ["".join(shipped.alphabet[index] for index in row if index >= 0)[:5] for row in np.asarray(decoded)]
    return {
        "difference": {name: float(np.abs(form(image).numpy() - probabilities).max()) for name, form in forms.items()},
        "parameters": forms["exported"].count_params(),
        "texts": shipped.decode(expected),
        "keras texts": spelled,
    }


@needs_keras
def test_keras_files_are_read_and_wrong_ones_named(run_job: Run) -> None:
    result = run_job(f"{__file__}:load_files")
    assert result["ok"], result
    assert result["facts"]["h5"] == 0
    assert result["facts"]["keras"] == 0
    assert result["facts"]["wrong"].startswith("weights wrong.weights.h5 do not fit the captcha network: ")
    assert "\n" not in result["facts"]["wrong"]


def load_files(job: Any) -> dict[str, Any]:
    """A job: what Keras saves, and weights of another network."""
    import keras

    from ocr_conformance.model import build

    job.stage("source")
    model = build(reference()).keras_model()
    kernel = model.get_layer("dense2").get_weights()[0]
    model.save_weights(job.out / "right.weights.h5")
    model.save(job.out / "right.keras")
    other = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    other.save_weights(job.out / "wrong.weights.h5")
    found = {}
    for name, file in (("h5", "right.weights.h5"), ("keras", "right.keras")):
        read = build(reference(path=str(job.out / file))).keras_model()
        found[name] = float(np.abs(read.get_layer("dense2").get_weights()[0] - kernel).max())
    try:
        build(reference(path=str(job.out / "wrong.weights.h5"))).keras_model()
    except ValueError as error:
        found["wrong"] = str(error)
    return found
