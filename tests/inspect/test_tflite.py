"""Reading ``.tflite`` files: the numbers are worked out by hand from the networks of tests/data/make_tflite.py."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent.parent / "data"
CONV, DEPTHWISE, DENSE = 8 * 8 * 64 * 9, 8 * 8 * 64 * 9, 8 * 512 * 5

pytestmark = pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("ai_edge_litert", "tensorflow")),
    reason="reading a .tflite file needs the schema of ai-edge-litert or tensorflow",
)


@pytest.fixture
def inspect(run_job: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[[str | bytes], dict[str, Any]]:
    """The facts of a file of tests/data, or the result of reading given bytes."""

    def read(name: str | bytes) -> dict[str, Any]:
        folder = tmp_path / "artifact"
        folder.mkdir(exist_ok=True)
        content = name if isinstance(name, bytes) else (DATA / f"{name}.tflite").read_bytes()
        (folder / "model.tflite").write_bytes(content)
        result = run_job("ocr_conformance.inspect.tflite:inspect", inputs={"artifact": folder})
        if isinstance(name, bytes):
            return result
        assert result["ok"], result
        facts: dict[str, Any] = result["facts"]
        return facts

    return read


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("conv", {"float": CONV + DEPTHWISE + DENSE}),
        # Half-precision weights are turned into float before they are multiplied.
        ("conv-float16", {"float": CONV + DEPTHWISE + DENSE}),
        # The converter leaves weights of fewer than 1024 values float: both convolutions here.
        ("conv-dynamic-range", {"float": CONV + DEPTHWISE, "hybrid": DENSE}),
        ("conv-full-int8", {"integer": CONV + DEPTHWISE + DENSE}),
        ("conv-int16x8", {"integer": CONV + DEPTHWISE + DENSE, "integer16": CONV + DEPTHWISE + DENSE}),
        ("lstm", {"float": 8 * (8 + 6) * 4 * 6 + 8 * 6 * 5}),
        ("lstm-full-int8", {"integer": 8 * (8 + 6) * 4 * 6 + 8 * 6 * 5}),
        ("while", {"float": 8 * (5 * 5 + 8 * 5)}),
    ],
)
def test_macs_are_counted_by_arithmetic(
    inspect: Callable[[str], dict[str, Any]], name: str, kinds: dict[str, int]
) -> None:
    macs = inspect(name)["macs"]
    assert {kind: macs[kind] for kind in ("float", "hybrid", "integer", "integer16") if macs[kind]} == kinds
    assert macs["total"] == macs["float"] + macs["hybrid"] + macs["integer"]
    assert macs["unknown_loops"] == macs["uncertain_ops"] == 0


@pytest.mark.parametrize(
    ("name", "by_dtype"),
    [
        ("conv", {"FLOAT32": 4 * 3840}),
        ("conv-float16", {"FLOAT16": 2 * 3840}),
        ("conv-dynamic-range", {"FLOAT32": 4 * 1280, "INT8": 2560}),
        ("conv-full-int8", {"INT8": 9 * 64 + 9 * 64 + 2560, "INT32": 4 * 2 * 64}),
        ("conv-int16x8", {"INT8": 9 * 64 + 9 * 64 + 2560, "INT64": 8 * 2 * 64}),
    ],
)
def test_weights_are_counted_by_type(
    inspect: Callable[[str], dict[str, Any]], name: str, by_dtype: dict[str, int]
) -> None:
    weights = inspect(name)["weights"]
    # 9 * 64 + 64 + 9 * 64 + 64 + 512 * 5 values; the zero biases are there only where the runtime needs them.
    assert weights["values"] == 3840
    assert weights["by_dtype"] == by_dtype
    assert weights["bytes"] == sum(by_dtype.values())


def test_a_loop_tells_how_often_it_runs(inspect: Callable[[str], dict[str, Any]]) -> None:
    facts = inspect("while")
    assert facts["subgraphs"] == 3
    assert [loop["trips"] for loop in facts["macs"]["loops"]] == [8]


def test_state_and_float_activations_are_counted(inspect: Callable[[str], dict[str, Any]]) -> None:
    assert inspect("lstm")["variable_tensors"] == 2
    assert inspect("lstm-full-int8")["float_tensors"] == 0
    assert inspect("conv-full-int8")["float_tensors"] == 0
    assert inspect("conv-int16x8")["float_tensors"] == 2  # its float input and output
    # What a DEQUANTIZE makes of half-precision weights is no activation.
    assert inspect("conv-float16")["float_tensors"] == inspect("conv")["float_tensors"]


def test_ops_say_what_can_run_them(inspect: Callable[[str], dict[str, Any]]) -> None:
    kinds = {op["name"]: op["kind"] for op in inspect("flex")["ops"]}
    assert kinds["FlexMatrixInverse"] == "flex"
    assert kinds["SOFTMAX"] == "builtin"


def test_uses_are_what_rules_of_delegates_see(inspect: Callable[[str], dict[str, Any]]) -> None:
    facts = inspect("conv")
    uses = {use["name"]: use for use in facts["uses"] if use["name"] != "RESHAPE"}
    assert sum(use["count"] for use in facts["uses"]) == sum(op["count"] for op in facts["ops"]) == 6
    assert sum(use["macs"] for use in facts["uses"]) == facts["macs"]["total"]
    assert uses["FULLY_CONNECTED"]["macs"] == DENSE
    image, kernel, bias = uses["CONV_2D"]["inputs"]
    assert image == {"dtype": "FLOAT32", "shape": [1, 8, 8, 1], "role": "computed"}
    assert (kernel["role"], bias["role"], uses["FULLY_CONNECTED"]["inputs"][2]) == ("constant", "constant", None)
    assert uses["SOFTMAX"]["options"] == {"beta": 1.0}
    assert {use["kind"] for use in inspect("flex")["uses"]} == {"builtin", "flex"}


def test_weights_of_half_precision_count_as_constants_and_the_state_of_an_lstm_as_state(
    inspect: Callable[[str], dict[str, Any]],
) -> None:
    uses = {use["name"]: use for use in inspect("conv-float16")["uses"]}
    assert uses["DEQUANTIZE"]["half"]
    assert [tensor["role"] for tensor in uses["CONV_2D"]["inputs"]] == ["computed", "constant", "constant"]
    (lstm,) = (use for use in inspect("lstm")["uses"] if use["name"] == "UNIDIRECTIONAL_SEQUENCE_LSTM")
    assert [tensor["role"] for tensor in lstm["inputs"] if tensor and tensor["role"] != "constant"] == [
        "computed", "state", "state",
    ]  # fmt: skip


def test_the_uses_in_a_loop_count_as_often_as_it_runs(inspect: Callable[[str], dict[str, Any]]) -> None:
    facts = inspect("while")
    assert sum(use["macs"] for use in facts["uses"]) == facts["macs"]["total"] == 8 * (5 * 5 + 8 * 5)
    assert [use["inputs"][0]["shape"] for use in inspect("unsigned")["uses"] if use["name"] == "SOFTMAX"] == [[8, 5]]


def test_the_face_of_a_file(inspect: Callable[[str], dict[str, Any]]) -> None:
    facts = inspect("conv-full-int8")
    assert facts["bytes"] == (DATA / "conv-full-int8.tflite").stat().st_size
    assert facts["min_runtime"] == "1.14.0"
    (given,), (output,) = facts["inputs"], facts["outputs"]
    assert (given["dtype"], given["shape"]) == ("int8", [1, 8, 8, 1])
    assert (output["scale"], output["zero_point"]) == ([1 / 256], [-128])
    (signature,) = facts["signatures"]
    assert list(signature["inputs"]) == ["image"]
    assert signature["outputs"] == {"probabilities": output["name"]}


def test_a_wrong_declaration_is_reported_as_it_stands(inspect: Callable[[str], dict[str, Any]]) -> None:
    facts = inspect("unsigned")
    assert facts["signatures"] == []
    assert facts["outputs"][0]["shape"] == [1, 1, 5]
    assert facts["outputs"][0]["shape_signature"] == [1, -1, 5]


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\0\0\0\0TFL3"], ids=["empty", "text", "header"])
def test_what_is_no_tflite_file_is_one_sentence(inspect: Callable[[bytes], dict[str, Any]], content: bytes) -> None:
    result = inspect(content)
    assert (result["ok"], result["type"]) == (False, "ValueError")
    assert result["message"].startswith("model.tflite is ")


def test_a_cut_file_never_ends_in_another_error(run_job: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    shutil.copy(DATA / "lstm.tflite", tmp_path / "model.tflite")
    result = run_job(f"{__file__}:read_every_cut", inputs={"artifact": tmp_path})
    assert result["ok"], result
    assert result["facts"] == {"cuts": 150, "refused": 150}


def read_every_cut(job: Any) -> dict[str, Any]:
    """A job: read the file cut to 150 lengths."""
    from ocr_conformance.inspect.tflite import read

    content = (job.inputs["artifact"] / "model.tflite").read_bytes()
    refused = 0
    for length in range(0, 4500, 30):
        path = job.out / "cut.tflite"
        path.write_bytes(content[:length])
        try:
            read(path)
        except ValueError:
            refused += 1
    return {"cuts": 150, "refused": refused}


def test_saturated_biases_and_dead_scales_are_anomalies(run_job: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    shutil.copy(DATA / "conv-full-int8.tflite", tmp_path / "model.tflite")
    result = run_job(f"{__file__}:read_broken", inputs={"artifact": tmp_path})
    assert result["ok"], result
    problems = sorted(anomaly["problem"] for anomaly in result["facts"]["anomalies"])
    assert problems == ["1 of 64 bias values are saturated", "a scale is not finite", "a scale is zero"]


def read_broken(job: Any) -> dict[str, Any]:
    """A job: break quantization parameters of a file and read it."""
    import flatbuffers
    import numpy as np

    from ocr_conformance.inspect import tflite

    schema = tflite.schema()
    model = schema.ModelT.InitFromPackedBuf((job.inputs["artifact"] / "model.tflite").read_bytes(), 0)
    tensors = model.subgraphs[0].tensors
    bias = next(t for t in tensors if t.type == schema.TensorType.INT32 and t.quantization.scale is not None)
    values = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32).copy()
    values[3] = -(2**31)
    model.buffers[bias.buffer].data = list(values.tobytes())
    computed = [t for t in tensors if t.type == schema.TensorType.INT8 and model.buffers[t.buffer].data is None]
    computed[0].quantization.scale = [0.0]
    computed[1].quantization.scale = [float("nan")]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (job.out / "broken.tflite").write_bytes(bytes(builder.Output()))
    return tflite.read(job.out / "broken.tflite")


def test_the_published_captcha_file(
    run_job: Callable[..., dict[str, Any]], shared: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copy(shared("published/captcha_ocr_dr.tflite"), tmp_path / "model.tflite")
    facts = run_job("ocr_conformance.inspect.tflite:inspect", inputs={"artifact": tmp_path})["facts"]
    assert facts["bytes"] == 500_640
    assert facts["outputs"][0]["shape"] == [1, 1, 20]
    assert facts["macs"]["unknown_loops"] == 4  # the number of frames is computed when it runs
    assert facts["macs"]["hybrid"] > facts["macs"]["float"]
    assert "REDUCE_PROD" in {op["name"] for op in facts["ops"]}
