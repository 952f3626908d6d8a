"""Networks that are only a file: an ONNX model and a SavedModel, with a contract beside them, judged like any other."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocr_conformance.errors import UserError
from ocr_conformance.registry import Registry

Run = Callable[..., dict[str, Any]]
PRELOAD = ("tensorflow",)

CONTRACT = """
schema = 1
[model]
name = "mine"
summary = "a network that is a file"
alphabet = "ab"
[reading]
input = "image"
output = "scores"
layout = "{layout}"
height = 8
width = 24
frames = 6
fit = "pad"
mean = 0.5
std = 0.5
pad = -1.0
"""


def reading(layout: str = "NHWC", **changed: Any) -> dict[str, Any]:
    """What the engine hands to the adapter."""
    from ocr_conformance.contract import Reading, tomllib

    return {**Reading(**tomllib.loads(CONTRACT.format(layout=layout))["reading"]).model_dump(), **changed}


def model(kind: str, path: Path, **changed: Any) -> dict[str, Any]:
    """A job's reference to the adapter for a file."""
    adapter = Path(__file__).parents[2] / "models" / "from-file" / "model.py"
    weights = {"name": path.name, "path": str(path), "sha256": ""}
    more = {"reading": reading(**changed), "alphabet": "ab"}
    return {"adapter": f"{adapter}:{kind}", "variant": "", "weights": weights, **more}


def test_the_contract_is_found_beside_the_file_and_has_defaults(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    (tmp_path / "net.toml").write_text(CONTRACT.format(layout="NCHW"))
    registry = Registry.built_in()
    ((entry, variant),) = registry.variants([f"onnx-file:{tmp_path}/net.onnx"])
    assert (entry.name, variant, entry.file) == ("mine", "", tmp_path / "net.onnx")
    assert entry.contract.model.routes == ("onnx-tf", "onnx2tf", "onnx2tf-direct")
    assert entry.contract.model.requires == ("onnxruntime", "onnx")
    assert entry.adapter_file.is_file()
    assert registry.variants([f"onnx-file:{tmp_path}/net.onnx"]) == [(entry, "")]  # named twice: one model
    own = CONTRACT.partition("[reading]")[0].replace('"mine"', '"own"\nadapter = "reads.py:Mine"')
    (tmp_path / "own.onnx").write_bytes(b"x")
    (tmp_path / "own.toml").write_text(own)
    with pytest.raises(UserError, match=r"model.adapter: there is no .*reads\.py"):
        registry.variants([f"onnx-file:{tmp_path}/own.onnx"])
    (tmp_path / "reads.py").write_text("")
    ((entry, _),) = registry.variants([f"onnx-file:{tmp_path}/own.onnx"])
    assert entry.adapter_file == tmp_path / "reads.py"
    (tmp_path / "own.toml").write_text(own.replace('adapter = "reads.py:Mine"', ""))
    with pytest.raises(UserError, match=r"this key is missing: \[reading\]"):
        Registry.built_in().variants([f"onnx-file:{tmp_path}/own.onnx"])
    (tmp_path / "other.onnx").write_bytes(b"y")
    (tmp_path / "contract.toml").write_text(CONTRACT.format(layout="NCHW"))
    with pytest.raises(UserError, match="two models are named 'mine'"):
        registry.variants([f"onnx-file:{tmp_path}/other.onnx"])


@pytest.mark.parametrize("color", ["gray", "rgb", "bgr"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_an_image_becomes_the_input_as_the_contract_says(tmp_path: Path, layout: str, color: str) -> None:
    from ocr_conformance.model import build

    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[...] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "red.png")
    built = build(model("OnnxFile", tmp_path / "net.onnx", layout=layout, color=color))
    image = built.preprocess(str(tmp_path / "red.png"))["image"]
    assert image.shape == built.inputs()[0].shape
    planes = image[0] if layout == "NCHW" else image[0].transpose(2, 0, 1)
    assert planes.shape == (1 if color == "gray" else 3, 8, 24)
    np.testing.assert_array_equal(planes[:, :, 12:], -1)  # 24x16 becomes 12x8
    again = build(model("OnnxFile", tmp_path / "net.onnx", layout="NCHW", color=color, pad="edge"))
    last = again.preprocess(str(tmp_path / "red.png"))["image"][0]
    np.testing.assert_array_equal(last[:, :, 12:], np.repeat(last[:, :, 11:12], 12, axis=2))
    expected = {"gray": [76], "rgb": [255, 0, 0], "bgr": [0, 0, 255]}[color]
    np.testing.assert_allclose(planes[:, 4, 4], [(value / 255 - 0.5) / 0.5 for value in expected], atol=2.1 / 255)


JOBS = '''
import tensorflow as tf


def make(job):
    """A SavedModel: mean brightness of six columns, as scores of three classes; its names are not the model's."""
    class Net(tf.Module):
        def __init__(self):
            self.levels = tf.Variable([-1.0, 0.0, 1.0])

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 24, 1], tf.float32, "x")])
        def __call__(self, x):
            columns = tf.reshape(tf.reduce_mean(x, [1, 3]), [-1, 6, 4])
            return {"y": -tf.abs(tf.reduce_mean(columns, 2, keepdims=True) - self.levels)}

    net = Net()
    tf.saved_model.save(net, job.params["path"], signatures={"serving_default": net.__call__})
    return {}
'''


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_a_saved_model_is_run_wrapped_and_converted(tmp_path: Path, run_job: Run) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    path = tmp_path / "net"
    assert run_job(f"{tmp_path}/jobs.py:make", {"path": str(path)})["ok"]
    pixels = np.repeat(np.repeat([[0, 255, 128, 0, 255, 255]], 4, axis=1), 8, axis=0).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "word.png")
    import hashlib

    image = {
        "path": str(tmp_path / "word.png"),
        "sha256": hashlib.sha256((tmp_path / "word.png").read_bytes()).hexdigest(),
    }
    reference = {"model": model("SavedModelFile", path)}
    folders = {name: tmp_path / name for name in ("inputs", "source", "hop", "lite", "run")}

    def do(function: str, out: str, params: dict[str, Any], **inputs: str) -> dict[str, Any]:
        given = {name: folders[folder] for name, folder in inputs.items()}
        result = run_job(f"ocr_conformance.{function}", {**reference, **params}, given, folders[out])
        assert result["ok"], result
        facts: dict[str, Any] = result["facts"]
        return facts

    do("runtime.source:prepare", "inputs", {"images": [image]})
    source = do("runtime.source:predict", "source", {}, inputs="inputs")
    assert source["texts"] == ["bab"]  # 0 is the blank: dark; the middle level a, the bright one b
    assert source["parameters"] == 3
    do("convert.saved_model:export", "hop", {"unroll": False})
    assert do("runtime.saved_model:run", "run", {}, artifact="hop", inputs="inputs")["mapping"] == "name"
    do("convert.tf_lite:convert", "lite", {"mode": "float32", "select_tf_ops": False}, previous="hop")
    assert do("runtime.litert:run", "run", {"threads": 1}, artifact="lite", inputs="inputs")["texts"] == ["bab"]


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")
def test_an_onnx_file_is_taken_as_it_is_and_run(tmp_path: Path, run_job: Run) -> None:
    jobs = tmp_path / "jobs.py"
    jobs.write_text(
        "import onnx\nfrom onnx import helper as h\n\n\n"
        "def make(job):\n"
        "    image = h.make_tensor_value_info('image', 1, [1, 1, 8, 24])\n"
        "    scores = h.make_tensor_value_info('scores', 1, [1, 6, 3])\n"
        "    levels = h.make_tensor('levels', 1, [3], [-1.0, 0.0, 1.0])\n"
        "    shape = h.make_tensor('shape', 7, [3], [1, 6, 4])\n"
        "    nodes = [h.make_node('ReduceMean', ['image'], ['rows'], axes=[1, 2], keepdims=0),\n"
        "             h.make_node('Reshape', ['rows', 'shape'], ['columns']),\n"
        "             h.make_node('ReduceMean', ['columns'], ['means'], axes=[2], keepdims=1),\n"
        "             h.make_node('Sub', ['means', 'levels'], ['distance']),\n"
        "             h.make_node('Abs', ['distance'], ['size']), h.make_node('Neg', ['size'], ['scores'])]\n"
        "    graph = h.make_graph(nodes, 'net', [image], [scores], [levels, shape])\n"
        "    made = h.make_model(graph, opset_imports=[h.make_opsetid('', 12)], ir_version=7)\n"
        "    onnx.checker.check_model(made)\n"
        "    onnx.save(made, job.params['path'])\n"
        "    return {}\n"
    )
    path = tmp_path / "net.onnx"
    assert run_job(f"{jobs}:make", {"path": str(path)})["ok"]
    reference = {"model": model("OnnxFile", path, layout="NCHW")}
    hop = tmp_path / "hop"
    facts = run_job(
        "ocr_conformance.convert.onnx:export",
        {**reference, "exporter": "torchscript", "opset": 12, "form": "source"},
        {},
        hop,
    )
    assert facts["ok"], facts
    assert (hop / "model.onnx").read_bytes() == path.read_bytes()
    assert (facts["facts"]["opset"], facts["facts"]["exporter"]) == (12, "none: the source is this file")
    np.savez(tmp_path / "inputs.npz", image=np.full((2, 1, 8, 24), 1, np.float32))
    ran = run_job(
        "ocr_conformance.runtime.onnx:run", reference, {"artifact": hop, "inputs": tmp_path}, tmp_path / "run"
    )
    assert ran["ok"], ran
    assert ran["facts"]["texts"] == ["b", "b"]
    assert ran["facts"]["mapping"] == "name"
