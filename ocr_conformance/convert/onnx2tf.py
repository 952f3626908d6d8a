"""Hops: an ONNX file becomes a SavedModel, or a ``.tflite`` file, by onnx2tf."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.calibration import read_calibration
from ocr_conformance.convert.saved_model import save_named
from ocr_conformance.model import build
from ocr_conformance.runtime.saved_model import SavedModelSession

if TYPE_CHECKING:
    from pathlib import Path

    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel

COPY = "copy.onnx"
_FILES = {
    "float32": "float32",
    "float16": "float16",
    "dynamic-range": "dynamic_range_quant",
    "int8": "integer_quant",
    "full-int8": "full_integer_quant",
    "int16x8": "integer_quant_with_int16_act",
}
"""How onnx2tf ends the name of the file of each mode."""


def saved_model(job: Job) -> dict[str, Any]:
    """Write ``job.out/saved_model`` by the backend ``tf_converter``: inputs and outputs bear the model's names.

    onnx2tf makes channels last of the inside; the inputs keep their layout (``keep_shape_absolutely_input_names``).

    Params: ``model``, ``unroll`` (unroll recurrent layers: ``enable_rnn_unroll``).

    Returns:
        ``onnx2tf``, ``tensorflow`` (versions), ``seconds``.

    Raises:
        Exception: onnx2tf cannot convert an op; or the model and its SavedModel differ in inputs or outputs.
    """
    job.stage("export")
    started = time.perf_counter()
    source: SourceModel = build(job.params["model"])
    inside = job.out / "onnx2tf"
    with _stopped_before_tflite():
        _convert(job, source, inside, "tf_converter", enable_rnn_unroll=job.params["unroll"])
    # It names its outputs output_0, output_1, ...: the same network again, with the names that the model declares.
    session = SavedModelSession(str(inside), source)
    save_named(session.graph, source.inputs(), source.outputs(), str(job.out / "saved_model"))
    import tensorflow as tf

    shutil.rmtree(inside)
    (job.out / COPY).unlink()
    return {
        "onnx2tf": importlib.metadata.version("onnx2tf"),
        "tensorflow": tf.__version__,
        "seconds": time.perf_counter() - started,
    }


class _Enough(BaseException):
    """The SavedModel is written."""


@contextlib.contextmanager
def _stopped_before_tflite() -> Iterator[None]:
    """Stop onnx2tf where it begins to convert its SavedModel to TFLite, in float32 and in float16, asked or not.

    That is the next hop's work, and for a network of 180 MB it takes 8 GB here.
    """
    import tensorflow as tf

    def enough(*_: Any, **__: Any) -> None:
        raise _Enough

    makers = ("from_keras_model", "from_concrete_functions")
    kept = {name: getattr(tf.lite.TFLiteConverter, name) for name in makers}
    for name in makers:
        setattr(tf.lite.TFLiteConverter, name, enough)
    try:
        yield
    except _Enough:
        pass
    finally:
        for name, function in kept.items():
            setattr(tf.lite.TFLiteConverter, name, function)


def direct(job: Job) -> dict[str, Any]:
    """Write ``job.out/model.tflite`` by the backend ``flatbuffer_direct``, quantized by onnx2tf itself.

    Params: ``model``, ``mode`` (any of `ocr_conformance.cases.MODES`). ``int16x8`` has float I/O.

    Returns:
        ``onnx2tf`` (version), ``seconds``, ``bytes``, ``calibration_samples``.

    Raises:
        Exception: onnx2tf cannot convert or quantize an op.
        ValueError: it ended without the file of this mode.
    """
    job.stage("convert")
    started = time.perf_counter()
    source: SourceModel = build(job.params["model"])
    mode = job.params["mode"]
    more: dict[str, Any] = {}
    samples = 0
    if mode == "dynamic-range":
        more["output_dynamic_range_quantized_tflite"] = True
    if "calibration" in job.inputs:
        import numpy as np

        arrays = read_calibration(job.inputs["calibration"])
        samples = len(next(iter(arrays.values())))
        paths = {name: job.out / f"calibration-{name}.npy" for name in arrays}
        for name, array in arrays.items():
            np.save(paths[name], array)
        more |= {
            "output_integer_quantized_tflite": True,
            # name, file, and a mean and a standard deviation that change nothing
            "custom_input_op_name_np_data_path": [[name, str(path), 0.0, 1.0] for name, path in paths.items()],
        }
    inside = job.out / "onnx2tf"
    _convert(job, source, inside, "flatbuffer_direct", **more)
    made = sorted(inside.glob(f"*_{_FILES[mode]}.tflite"))
    if not made:
        found = ", ".join(path.name for path in sorted(inside.glob("*.tflite"))) or "nothing"
        raise ValueError(f"onnx2tf ended without a file of {mode}: it left {found}")
    artifact = job.out / "model.tflite"
    made[0].rename(artifact)
    shutil.rmtree(inside)
    (job.out / COPY).unlink()
    return {
        "onnx2tf": importlib.metadata.version("onnx2tf"),
        "seconds": time.perf_counter() - started,
        "bytes": artifact.stat().st_size,
        "calibration_samples": samples,
    }


def _convert(job: Job, source: SourceModel, folder: Path, backend: str, **more: Any) -> None:
    import onnx2tf

    # A copy: onnx2tf simplifies the file in place, by the program `onnxsim` (of the toolchain, which is on PATH).
    copy = job.out / COPY
    shutil.copyfile(job.inputs["previous"] / "model.onnx", copy)
    onnx2tf.convert(
        input_onnx_file_path=str(copy),
        output_folder_path=str(folder),
        tflite_backend=backend,
        copy_onnx_input_output_names_to_tflite=True,
        keep_shape_absolutely_input_names=[spec.name for spec in source.inputs()],
        verbosity="error",
        **more,
    )
