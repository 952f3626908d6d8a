"""Hop: a SavedModel becomes a ``.tflite`` file by TensorFlow's own converter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.calibration import read_calibration
from ocr_conformance.convert.saved_model import SIGNATURE
from ocr_conformance.job import Job

if TYPE_CHECKING:
    import numpy.typing as npt


def convert(job: Job) -> dict[str, Any]:
    """Write ``job.out/model.tflite``.

    Params:
        mode: one of `ocr_conformance.cases.MODES`. ``int8`` has float I/O and float fallback; ``full-int8`` allows
            integer kernels only and has int8 I/O; ``int16x8`` allows no fallback either and has float I/O.
        select_tf_ops: also allow TensorFlow's own kernels (Flex), for ops that TFLite has none of.

    Returns:
        ``tensorflow`` (version), ``seconds`` of the conversion, ``bytes`` of the file, ``calibration_samples``.
    """
    import tensorflow as tf

    mode, select_tf_ops = job.params["mode"], job.params["select_tf_ops"]
    job.stage("convert")
    started = time.perf_counter()
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(job.inputs["previous"] / "saved_model"), signature_keys=[SIGNATURE]
    )
    samples = 0
    ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in ("int8", "full-int8", "int16x8"):
        arrays = read_calibration(job.inputs["calibration"])
        samples = len(next(iter(arrays.values())))
        converter.representative_dataset = one_by_one(arrays)
    if mode == "full-int8":
        ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if mode == "int16x8":
        ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    if select_tf_ops:
        ops.append(tf.lite.OpsSet.SELECT_TF_OPS)
    converter.target_spec.supported_ops = ops
    content = converter.convert()
    finished = time.perf_counter()
    (job.out / "model.tflite").write_bytes(content)
    return {
        "tensorflow": tf.__version__,
        "seconds": finished - started,
        "bytes": len(content),
        "calibration_samples": samples,
    }


def one_by_one(arrays: dict[str, npt.NDArray[Any]]) -> Callable[[], Iterator[dict[str, npt.NDArray[Any]]]]:
    """A representative dataset: sample by sample, by input name."""

    def samples() -> Iterator[dict[str, npt.NDArray[Any]]]:
        for index in range(len(next(iter(arrays.values())))):
            yield {name: array[index : index + 1] for name, array in arrays.items()}

    return samples
