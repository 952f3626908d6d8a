"""Hop: a PyTorch network becomes an ONNX file with a fixed batch of 1, or an ONNX file is taken as it is."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import shutil
import time
import warnings
from typing import TYPE_CHECKING, Any

from ocr_conformance.model import OnnxModel, TorchModel, build

if TYPE_CHECKING:
    from ocr_conformance.job import Job

ARTIFACT = "model.onnx"


def export(job: Job) -> dict[str, Any]:
    """Write ``job.out/model.onnx``: inputs and outputs bear the names that the model declares.

    Params:
        model: reference to a `TorchModel` or an `OnnxModel` (whose file is copied).
        exporter: ``torchscript`` (``torch.onnx.export(dynamo=False)``) or ``dynamo`` (by way of ``torch.export``).
        opset: version of the ONNX operator set.
        form: of the network (see `TorchModel.torch_model`).

    Returns:
        ``exporter``, ``opset`` (as found in the file), ``nodes`` (of the graph), versions of ``torch`` and ``onnx``,
        ``seconds``, ``bytes``.

    Raises:
        ValueError: the model is neither; or see the exporter.
    """
    job.stage("source")
    source = build(job.params["model"])
    path = job.out / ARTIFACT
    started = time.perf_counter()
    facts: dict[str, Any] = {}
    if isinstance(source, OnnxModel):
        job.stage("export")
        shutil.copyfile(source.onnx_file(), path)
        facts["exporter"] = "none: the source is this file"
    elif isinstance(source, TorchModel):
        facts |= _export(job, source, str(path))
    else:
        raise ValueError("this route starts from a PyTorch network or an ONNX file, the model is neither")
    import onnx

    written = onnx.load(str(path))
    return {
        **facts,
        "opset": max(entry.version for entry in written.opset_import if entry.domain in ("", "ai.onnx")),
        "nodes": len(written.graph.node),
        "onnx": importlib.metadata.version("onnx"),
        "seconds": time.perf_counter() - started,
        "bytes": path.stat().st_size,
    }


def _export(job: Job, source: TorchModel, path: str) -> dict[str, Any]:
    import torch

    network = source.torch_model(form=job.params["form"])
    samples = tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in source.inputs())
    dynamo = job.params["exporter"] == "dynamo"
    job.stage("export")
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the old exporter's own deprecation, the tracer's hints: hundreds of lines
        torch.onnx.export(
            network,
            samples,
            path,
            input_names=[spec.name for spec in source.inputs()],
            output_names=[spec.name for spec in source.outputs()],
            opset_version=job.params["opset"],
            dynamo=dynamo,
            **({"external_data": False} if dynamo else {}),
        )
    return {"exporter": job.params["exporter"], "torch": torch.__version__}
