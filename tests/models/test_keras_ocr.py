"""keras-ocr's recognizer: the package's own answers, and that every form of it is the same network."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., dict[str, Any]]

ADAPTER = Path(__file__).parents[2] / "models" / "keras-ocr" / "model.py"
PRELOAD = (f"{ADAPTER}:import_keras_ocr",)

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("keras_ocr") is None, reason="the model is the package keras-ocr, which is not installed"
)


@pytest.fixture(autouse=True)
def legacy_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the contract's environment has it, for the children."""
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")


def reference(variant: str = "", path: str | None = None) -> dict[str, Any]:
    weights = {"name": "file" if path else "seeded", "path": path, "sha256": ""}
    return {"adapter": f"{ADAPTER}:KerasOCR", "variant": variant, "weights": weights}


def module() -> Any:
    from ocr_conformance.model import build

    return sys.modules[type(build(reference())).__module__]


def test_weights_are_counted_and_pinned() -> None:
    """Another hash means another seeded network: give the recipe in the contract a new name."""
    import hashlib

    from ocr_conformance.model import build

    assert build(reference()).parameters() == 8_794_267
    weights = module().seeded_weights()
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].astype("<f4").tobytes())
    assert found.hexdigest() == "88265eedd21237c29cbf5674fe030c2d13b3e0080ebd168360e99ff9b720387b"


def test_an_unknown_variant_is_refused() -> None:
    from ocr_conformance.model import build

    with pytest.raises(ValueError, match=r"keras-ocr has no variant 'stn' \(it has: as-shipped, ctc\)"):
        build(reference("stn"))


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Smooth color patterns: wider and narrower than the letterbox, of its size, gray, with alpha, turned by EXIF."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 12, 4), np.uint8)
    shapes = {"wide": (300, 20), "narrow": (30, 40), "exact": (200, 31), "large": (640, 141), "small": (24, 15)}
    for name, size in shapes.items():
        Image.fromarray(noise[..., :3]).resize(size, Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    Image.fromarray(noise[..., 0]).resize((90, 31)).save(tmp_path / "gray.png")
    Image.fromarray(noise).resize((90, 31)).save(tmp_path / "alpha.png")
    turned = Image.fromarray(noise[..., :3]).resize((40, 120))
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=turned.getexif())
    return sorted(str(path) for path in tmp_path.glob("*.png"))


@needs_package
def test_the_package_reads_the_same_from_the_file(run_job: Run, images: list[str]) -> None:
    result = run_job(f"{__file__}:recognize", {"images": images})
    assert result["ok"], result
    facts = result["facts"]
    assert facts["ours"] == facts["package"]
    assert facts["decoder in the graph"] == facts["package"]
    assert len(set(facts["ours"])) >= 4
    for path, levels in facts["levels"].items():
        assert levels <= 1.001, path
    assert facts["shapes"] == [[1, 31, 200, 1]]


def recognize(job: Any) -> dict[str, Any]:
    """A job: text of each file by the package's own ``recognize``, by our steps, and with the decoder in the graph."""
    from ocr_conformance.model import build

    job.stage("source")
    model, ctc = build(reference()), build(reference("ctc"))
    package = model._recognizer()
    ours, in_graph, levels, shapes = [], [], {}, set()
    for path in job.params["images"]:
        inputs, phone = model.preprocess(path), model.phone_preprocess(path)
        shapes |= {inputs["image"].shape, phone["image"].shape}
        levels[path] = 255 * float(np.abs(inputs["image"] - phone["image"]).max())
        ours += model.decode(model.predict(inputs))
        in_graph += ctc.decode(ctc.predict(inputs))
    return {
        "package": [package.recognize(path) for path in job.params["images"]],
        "ours": ours,
        "decoder in the graph": in_graph,
        "levels": levels,
        "shapes": sorted(shapes),
    }


@needs_package
def test_an_image_that_does_not_decode_is_named(run_job: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    result = run_job(f"{__file__}:recognize", {"images": [str(tmp_path / "bad.png")]})
    assert result["type"] == "ValueError"
    assert result["message"].startswith(f"{tmp_path / 'bad.png'} is not an image that can be read (OpenCV: ")


@needs_package
def test_all_forms_are_one_network(run_job: Run) -> None:
    result = run_job(f"{__file__}:compare")
    assert result["ok"], result
    facts = result["facts"]
    assert facts["difference"]["cured"] == 0
    assert facts["difference"]["unrolled"] < 2e-5
    assert facts["difference"]["from h5"] == 0
    assert facts["difference"]["from npz"] == 0
    assert facts["parameters"] == 8_794_267
    assert facts["as-shipped is cured"] is False
    assert facts["shared LSTM layers"] == 0
    assert facts["grid moves"] > 0.005
    assert facts["cure of a cured one"].startswith("keras-ocr's recognizer has no spatial transformer to cure")


def compare(job: Any) -> dict[str, Any]:
    """A job: the network as shipped against every form of it, on smooth noise."""
    from ocr_conformance.model import build

    job.stage("source")
    own = module()
    coarse = np.random.default_rng(3).random((8, 6, 20, 1), np.float32)
    image = np.kron(coarse, np.ones((1, 6, 10, 1), np.float32))[:, :31]
    shipped = build(reference("as-shipped"))
    expected = shipped.predict({"image": image})["probabilities"]
    recognizer = shipped._recognizer()
    recognizer.model.save_weights(str(job.out / "weights.h5"))
    np.savez(job.out / "weights.npz", **own.seeded_weights())
    cured = build(reference()).keras_model()
    forms = {
        "cured": cured,
        "unrolled": build(reference()).keras_model(unroll=True),
        "from h5": build(reference(path=str(job.out / "weights.h5"))).keras_model(),
        "from npz": build(reference(path=str(job.out / "weights.npz"))).keras_model(),
    }
    transform = own.import_keras_ocr().recognition._transform
    (stn,) = [layer for layer in recognizer.model.layers if getattr(layer, "function", None) is transform]
    localisation = type(recognizer.model)(recognizer.model.input, stn.input[1])
    lstms = [{id(layer) for layer in forms[name].layers if "lstm" in layer.name} for name in ("cured", "unrolled")]
    try:
        own.cure_stn(cured)
        refusal = ""
    except ValueError as error:
        refusal = str(error)
    return {
        "difference": {
            name: float(np.abs(form.predict(image, verbose=0) - expected).max()) for name, form in forms.items()
        },
        "parameters": cured.count_params(),
        "as-shipped is cured": all(
            getattr(layer, "function", None) is not transform for layer in shipped.keras_model().layers
        ),
        "shared LSTM layers": len(lstms[0] & lstms[1]),
        "grid moves": float(localisation.predict(image, verbose=0).std(axis=0).max()),
        "cure of a cured one": refusal,
    }


@needs_package
def test_the_trained_weights_of_the_data_folder_read(run_job: Run, shared: Callable[[str], Path]) -> None:
    """The format that a training run writes; FACTS, section 9, gives 85 of 100 on these crops."""
    result = run_job(
        f"{__file__}:accuracy",
        {
            "weights": str(shared("weights/keras_ocr_crnn_synth_f16.npz")),
            "images": str(shared("words/represent_data")),
        },
    )
    assert result["ok"], result
    assert result["facts"]["right"] >= 80


def accuracy(job: Any) -> dict[str, Any]:
    """A job: how many labelled crops are read right."""
    from ocr_conformance.model import build

    job.stage("source")
    model = build(reference(path=job.params["weights"]))
    folder = Path(job.params["images"])
    rows = [line.split("\t") for line in (folder / "labels.tsv").read_text().splitlines()]
    inputs = {"image": np.concatenate([model.preprocess(str(folder / name))["image"] for name, _ in rows])}
    texts = model.decode(model.predict(inputs))
    wanted = ["".join(c for c in label.lower() if c.isalnum()) for _, label in rows]
    return {"right": sum(text == label for text, label in zip(texts, wanted, strict=True))}


@needs_package
def test_weights_of_another_network_are_named(run_job: Run, tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense").attrs["weight_names"] = []
    params = {"model": reference(path=str(tmp_path / "other.h5")), "unroll": False}
    result = run_job("ocr_conformance.convert.saved_model:export", params)
    assert result["type"] == "ValueError"
    assert result["stage"] == "source"
    assert result["message"].startswith("weights other.h5 do not fit keras-ocr's recognizer: ")
