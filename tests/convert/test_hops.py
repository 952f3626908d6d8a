"""The hop functions on a small network; needs the frameworks, in child processes only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_conformance.model import KerasModel, Weights

Run = Callable[..., dict[str, Any]]
PRELOAD = ("tensorflow", "keras")

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="these hops run tensorflow, which is not installed"
)
needs_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("litert_quantizer") is None, reason="litert-quantizer is not installed"
)

ADAPTER = """
from ocr_conformance.model import KerasModel, TensorSpec


class Small(KerasModel):
    '''A convolution, an LSTM (not in the variant plain), two outputs whose names sort the other way round.'''

    @property
    def dropout(self):
        return 0.5 if self.variant == "dropout" else 0.0

    def inputs(self):
        return [TensorSpec("image", (1, 8, 8, 1), "float32", 0.0, 1.0)]

    def outputs(self):
        wide = 7 if self.variant == "liar" else 5
        return [TensorSpec("text", (1, 8, wide), "float32"), TensorSpec("score", (1, 1), "float32")]

    def keras_model(self, *, unroll=False):
        import keras

        keras.utils.set_random_seed(1)
        layers = keras.layers
        image = layers.Input((8, 8, 1))
        x = layers.Conv2D(16, 3, padding="same", activation="relu")(image)
        x = layers.Reshape((8, 128))(x)
        if self.variant != "plain":
            x = layers.LSTM(8, return_sequences=True, dropout=self.dropout, unroll=unroll)(x)
        text = layers.Dense(5, activation="softmax")(x)
        score = layers.Dense(1, activation="sigmoid")(layers.Flatten()(text))
        if self.variant in ("dict", "misnamed"):
            return keras.Model(image, {"score": score, "text" if self.variant == "dict" else "words": text})
        return keras.Model(image, [text, score])

    preprocess = phone_preprocess = predict = parameters = None
"""


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    (tmp_path / "model.py").write_text(ADAPTER)

    def reference(variant: str = "") -> dict[str, Any]:
        weights = {"name": "seeded", "path": None, "sha256": ""}
        return {"adapter": f"{tmp_path / 'model.py'}:Small", "variant": variant, "weights": weights}

    return reference


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    folder = tmp_path / "calibration"
    folder.mkdir()
    np.savez(folder / "inputs.npz", image=np.random.default_rng(0).random((4, 8, 8, 1), np.float32))
    return folder


@needs_tensorflow
@pytest.mark.parametrize("variant", ["", "dropout", "dict"])
def test_the_saved_model_answers_as_the_network_under_the_declared_names(
    run_job: Run, small: Run, variant: str
) -> None:
    """With dropout too: the states of Keras 3's seed generators are hidden from a SavedModel of the model itself.

    A dict of outputs goes by its names, whatever its order.
    """
    result = run_job(f"{__file__}:export_and_compare", {"model": small(variant), "unroll": False})
    assert result["ok"], result
    assert result["facts"]["inputs"] == ["image"]
    assert result["facts"]["outputs"] == {"score": [1, 1], "text": [1, 8, 5]}
    assert result["facts"]["difference"] < 1e-6
    assert result["facts"]["facts"]["keras"].startswith("keras ")


def export_and_compare(job: Any) -> dict[str, Any]:
    """A job: export, load, and compare with the network itself."""
    import tensorflow as tf

    from ocr_conformance.convert.saved_model import export
    from ocr_conformance.model import build

    facts = export(job)
    serve = tf.saved_model.load(str(job.out / "saved_model")).signatures["serving_default"]
    image = np.random.default_rng(1).random((1, 8, 8, 1), np.float32)
    answer = serve(image=tf.constant(image))
    given = build(job.params["model"]).keras_model()(image)
    expected = given if isinstance(given, dict) else dict(zip(("text", "score"), given, strict=True))
    return {
        "facts": facts,
        "inputs": sorted(serve.structured_input_signature[1]),
        "outputs": {name: list(tensor.shape) for name, tensor in serve.structured_outputs.items()},
        "difference": max(float(np.abs(answer[name] - expected[name]).max()) for name in expected),
    }


@needs_tensorflow
@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("liar", "the model declares output text as (1, 8, 7), its network has (1, 8, 5)"),
        ("misnamed", "the model declares the outputs text, score, its network gives score, words"),
    ],
)
def test_a_network_that_breaks_its_promise_is_refused(run_job: Run, small: Run, variant: str, message: str) -> None:
    result = run_job("ocr_conformance.convert.saved_model:export", {"model": small(variant), "unroll": False})
    assert not result["ok"]
    assert result["stage"] == "export"
    assert result["message"] == message


class Given:
    """A network that gives one thing, as ``keras.Model.predict``."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def predict(self, *_: Any, **__: Any) -> Any:
        return self.given


def predicted(given: Any) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(ADAPTER, names)
    model = names["Small"]("", Weights("seeded", None, ""))
    model._kept = Given(given)
    return KerasModel.predict(model, {"image": np.zeros((1, 8, 8, 1), np.float32)})


@pytest.mark.parametrize(
    "given",
    [
        {"score": np.ones(1), "text": np.zeros(5)},
        {"text": np.zeros(5), "score": np.ones(1)},
        [np.zeros(5), np.ones(1)],
        (np.zeros(5), np.ones(1)),
    ],
    ids=["dict", "in order", "list", "tuple"],
)
def test_predict_gives_outputs_their_names(given: Any) -> None:
    assert {name: value.shape for name, value in predicted(given).items()} == {"text": (5,), "score": (1,)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score": 1, "words": 2}, "declares the outputs text, score, its network gives score, words"),
        ({"score": 1}, "its network gives score$"),
        ({"score": 1, "text": 2, "more": 3}, "its network gives score, text, more$"),
        ([1], "declares 2 outputs, its network has 1$"),
        (1, "declares 2 outputs, its network has 1$"),
    ],
)
def test_predict_refuses_other_outputs(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predicted(given)


@needs_tensorflow
@needs_quantizer
def test_every_mode_has_its_io_and_its_effect(run_job: Run, small: Run, calibration: Path) -> None:
    result = run_job(f"{__file__}:convert_in_all_modes", {"model": small()}, {"calibration": calibration})
    assert result["ok"], result
    facts = result["facts"]
    int8 = {"tf-lite/full-int8", "litert-quantizer/full-int8"}
    for case, file in facts.items():
        assert file["io"] == ["int8" if case in int8 else "float32"] * 3, case
        assert file["signature"] == [["image"], ["score", "text"]], case
        assert file["bytes"] == file["size"], case
    stored = {case: set(file["types"]) for case, file in facts.items()}
    assert "int8" not in stored["tf-lite/float32"] | stored["tf-lite/float16"] | stored["litert-quantizer/float16"]
    assert "float16" in stored["tf-lite/float16"] & stored["litert-quantizer/float16"]
    assert "int16" in stored["tf-lite/int16x8"] & stored["litert-quantizer/int16x8"]
    for case in stored.keys() - {"tf-lite/float32", "tf-lite/float16", "litert-quantizer/float16"}:
        assert "int8" in stored[case], case
    # Convolutions are static, dense layers dynamic: the input of those is quantized while the file runs.
    assert facts["scoped/int8"]["bytes"] != facts["litert-quantizer/int8"]["bytes"]
    assert {file["samples"] for case, file in facts.items() if "int" in case.partition("/")[2]} == {4}


def convert_in_all_modes(job: Any) -> dict[str, Any]:
    """A job: the (unrolled) network by both quantizers in every mode; what the files declare."""
    from ai_edge_litert.interpreter import Interpreter

    from ocr_conformance.cases import MODES
    from ocr_conformance.convert import litert_quantizer, saved_model, tf_lite

    def step(name: str, previous: str) -> Any:
        (job.out / name).mkdir(parents=True)
        inputs = {**job.inputs, "previous": job.out / previous}
        mode = name.partition("/")[2]
        recipe = "scoped" if name.startswith("scoped") else "all"
        more = {"unroll": True, "mode": mode, "select_tf_ops": False, "recipe": recipe, "dynamic": ""}
        more["ranges"] = "extremes"
        return type(job)({**job.params, **more}, inputs, job.out / name)

    saved_model.export(step("export", ""))
    found = {}
    for mode in MODES:
        found[f"tf-lite/{mode}"] = tf_lite.convert(step(f"tf-lite/{mode}", "export"))
    # litert-quantizer's calibrator stops at an LSTM of Keras 3, unrolled or not: "Tensor data is null".
    job.params["model"]["variant"] = "plain"
    saved_model.export(step("plain", ""))
    tf_lite.convert(step("plain-tf-lite/float32", "plain"))
    for mode in MODES[1:]:
        found[f"litert-quantizer/{mode}"] = litert_quantizer.quantize(
            step(f"litert-quantizer/{mode}", "plain-tf-lite/float32")
        )
    for mode in ("dynamic-range", "int8"):
        found[f"scoped/{mode}"] = litert_quantizer.quantize(step(f"scoped/{mode}", "plain-tf-lite/float32"))
    described = {}
    for case, facts in found.items():
        file = job.out / case / "model.tflite"
        interpreter = Interpreter(str(file))
        signature = interpreter.get_signature_list()["serving_default"]
        details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
        described[case] = {
            "io": [detail["dtype"].__name__ for detail in details],
            "signature": [sorted(signature["inputs"]), sorted(signature["outputs"])],
            "types": sorted({detail["dtype"].__name__ for detail in interpreter.get_tensor_details()}),
            "bytes": facts["bytes"],
            "size": file.stat().st_size,
            "samples": facts["calibration_samples"],
        }
    return described


@needs_tensorflow
def test_an_empty_calibration_set_is_refused(run_job: Run, tmp_path: Path) -> None:
    folder = tmp_path / "calibration"
    folder.mkdir()
    np.savez(folder / "inputs.npz", image=np.zeros((0, 8, 8, 1), np.float32))
    result = run_job(f"{__file__}:read", {}, {"calibration": folder})
    assert (result["type"], result["message"]) == ("ValueError", "the calibration set is empty")


def read(job: Any) -> dict[str, Any]:
    """A job: nothing but the calibration set."""
    from ocr_conformance.convert.calibration import read_calibration

    job.stage("convert")
    return {"inputs": sorted(read_calibration(job.inputs["calibration"]))}
