"""Hop: an ONNX file becomes a SavedModel by onnx-tf (no longer maintained: opset 12 and TensorFlow 2.15 at most)."""

from __future__ import annotations

import importlib.metadata
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocr_conformance.job import Job


def convert(job: Job) -> dict[str, Any]:
    """Write ``job.out/saved_model``.

    Returns:
        ``onnx-tf``, ``tensorflow`` (versions), ``seconds``.

    Raises:
        Exception: onnx-tf has no handler for an op, or the graph it builds cannot be traced or saved.
    """
    job.stage("export")
    started = time.perf_counter()
    import onnx
    import onnx_tf.backend
    import tensorflow as tf

    model = onnx.load(str(job.inputs["previous"] / "model.onnx"))
    onnx_tf.backend.prepare(model).export_graph(str(job.out / "saved_model"))
    return {
        "onnx-tf": importlib.metadata.version("onnx-tf"),
        "tensorflow": tf.__version__,
        "seconds": time.perf_counter() - started,
    }
