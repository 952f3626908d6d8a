"""The hops that start from an ONNX file, on a small network: each in the toolchain that has its converter."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")

Run = Callable[..., dict[str, Any]]

FILES = '''
import numpy as np
import onnx
from onnx import helper as h, numpy_helper

from ocr_conformance.model import Recognizer, TensorSpec


def make(job):
    """A convolution, a ReLU and means over rows and columns: [1, 1, 8, 24] to [1, 3, 6]."""
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(3, 1, 3, 3)).astype(np.float32)
    constants = {"kernel": kernel, "shape": np.array([1, 3, 6, 4], np.int64)}
    nodes = [
        h.make_node("Conv", ["image", "kernel"], ["a"], pads=[1, 1, 1, 1]),
        h.make_node("Relu", ["a"], ["b"]),
        h.make_node("ReduceMean", ["b"], ["c"], axes=[2], keepdims=0),
        h.make_node("Reshape", ["c", "shape"], ["d"]),
        h.make_node("ReduceMean", ["d"], ["scores"], axes=[3], keepdims=0),
    ]
    graph = h.make_graph(
        nodes, "net", [h.make_tensor_value_info("image", 1, [1, 1, 8, 24])],
        [h.make_tensor_value_info("scores", 1, [1, 3, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = h.make_model(graph, opset_imports=[h.make_opsetid("", 12)], ir_version=7)
    onnx.checker.check_model(made)
    onnx.save(made, job.out / "model.onnx")
    images = draw.random((4, 1, 8, 24), np.float32)
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    features = np.maximum(np.einsum("nijab,cab->ncij", windows, kernel[:, 0]), 0).mean(2)
    np.savez(job.out / "inputs.npz", image=images)
    np.savez(job.out / "expected.npz", scores=features.reshape(4, 3, 6, 4).mean(3))
    return {}


class Net(Recognizer):
    alphabet = "ab"

    def inputs(self):
        return [TensorSpec("image", (1, 1, 8, 24), "float32", 0.0, 1.0)]

    def outputs(self):
        return [TensorSpec("scores", (1, 3, 6), "float32")]

    def preprocess(self, path): ...

    def phone_preprocess(self, path): ...

    def predict(self, inputs): ...

    def parameters(self):
        return 27

    def decode(self, outputs):
        return ["x"] * len(outputs["scores"])
'''


class Bench:
    """Runs hops on the small network and reads what they leave."""

    def __init__(self, folder: Path, run_job: Run) -> None:
        self.folder, self._run = folder, run_job
        (folder / "net.py").write_text(FILES)
        weights = {"name": "file", "path": None, "sha256": ""}
        self.model = {"adapter": f"{folder}/net.py:Net", "variant": "", "weights": weights}
        assert run_job(f"{folder}/net.py:make", {}, {}, folder / "onnx")["ok"]

    def job(self, function: str, out: str, params: dict[str, Any] | None = None, **inputs: str) -> dict[str, Any]:
        """The result of a job; inputs are named by the folders of earlier ones."""
        places = {name: self.folder / place for name, place in inputs.items()}
        given = {"model": self.model, **(params or {})}
        return self._run(f"ocr_conformance.{function}", given, places, self.folder / out)

    def error(self, out: str) -> float:
        """Largest difference of a run's outputs to what numpy gives."""
        with (
            np.load(self.folder / out / "outputs.npz") as given,
            np.load(self.folder / "onnx" / "expected.npz") as wanted,
        ):
            return float(np.abs(given["scores"] - wanted["scores"]).max())


@pytest.fixture
def bench(tmp_path: Path, run_job: Run) -> Bench:
    """The small network as an ONNX file."""
    return Bench(tmp_path, run_job)


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@needs("onnxruntime")
def test_onnxruntime_runs_the_file(bench: Bench) -> None:
    result = bench.job("runtime.onnx:run", "run", artifact="onnx", inputs="onnx")
    assert result["ok"], result
    assert bench.error("run") < 1e-6


@needs("onnx_tf")
def test_onnx_tf(bench: Bench) -> None:
    assert bench.job("convert.onnx_tf:convert", "hop", previous="onnx")["ok"]
    assert bench.job("runtime.saved_model:run", "run", artifact="hop", inputs="onnx")["facts"]["mapping"] == "name"
    assert bench.error("run") < 1e-6
    convert = {"mode": "float32", "select_tf_ops": False}
    assert bench.job("convert.tf_lite:convert", "lite", convert, previous="hop")["ok"]
    assert bench.job("runtime.litert:run", "run", {"threads": 1}, artifact="lite", inputs="onnx")["ok"]
    assert bench.error("run") < 1e-6


@needs("onnx2tf")
def test_onnx2tf_by_way_of_a_saved_model(bench: Bench) -> None:
    before = (bench.folder / "onnx" / "model.onnx").read_bytes()
    result = bench.job("convert.onnx2tf:saved_model", "hop", {"unroll": False}, previous="onnx")
    assert result["ok"], result
    assert (bench.folder / "onnx" / "model.onnx").read_bytes() == before  # onnx2tf simplifies its input in place
    assert not {path.name for path in (bench.folder / "hop").iterdir() if path.name[0] != "."} - {"saved_model"}
    assert bench.job("runtime.saved_model:run", "run", artifact="hop", inputs="onnx")["facts"]["mapping"] == "name"
    assert bench.error("run") < 1e-5


@needs("onnx2tf")
@pytest.mark.parametrize("mode", ["float32", "dynamic-range", "int8"])
def test_onnx2tf_direct(bench: Bench, mode: str) -> None:
    inputs = {"previous": "onnx", **({"calibration": "onnx"} if mode == "int8" else {})}
    result = bench.job("convert.onnx2tf:direct", "lite", {"mode": mode}, **inputs)
    assert result["ok"], result
    assert result["facts"]["calibration_samples"] == (4 if mode == "int8" else 0)
    ran = bench.job("runtime.litert:run", "run", {"threads": 1}, artifact="lite", inputs="onnx")
    assert ran["ok"], ran
    assert (ran["facts"]["input_mapping"], ran["facts"]["output_mapping"]) == ("name", "name")
    # Its int8 file of this network is off by 0.4: whether a mode is any good is for contracts, not for this test.
    assert bench.error("run") < {"float32": 1e-5, "dynamic-range": 0.05, "int8": 1.0}[mode]


@needs("onnx2tf")
def test_a_mode_that_onnx2tf_leaves_out_is_said(bench: Bench) -> None:
    result = bench.job("convert.onnx2tf:direct", "lite", {"mode": "int8"}, previous="onnx")  # no calibration
    assert (result["ok"], result["type"]) == (False, "ValueError")
    assert result["message"].startswith("onnx2tf ended without a file of int8: it left ")
