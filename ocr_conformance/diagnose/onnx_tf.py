"""Where onnx-tf goes wrong, in memory: it often builds a network that it then cannot save."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.onnx import ARTIFACT
from ocr_conformance.diagnose.stats import Sums
from ocr_conformance.model import build
from ocr_conformance.runtime import tensors

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ocr_conformance.job import Job

BROKEN_DB = 60.0
"""Float kernels agree to 90 dB and more: a node that makes a larger error than this is wrong."""


def _all_outputs(path: Path) -> tuple[Any, list[str]]:
    """An ONNX file that gives the first output of every node, and their names in order."""
    import onnx

    file = onnx.load(str(path))
    names = [node.output[0] for node in file.graph.node if node.op_type != "Constant"]
    known = {output.name for output in file.graph.output}
    # onnx-tf checks the file: every output needs a type.
    inferred = {each.name: each for each in onnx.shape_inference.infer_shapes(file).graph.value_info}
    file.graph.output.extend(inferred[name] for name in names if name not in known and name in inferred)
    names = [name for name in names if name in known or name in inferred]
    return file, names


def values(job: Job) -> dict[str, Any]:
    """Run an ONNX file by onnx-tf in memory, and keep what every node gives.

    Params: ``model``, ``samples``. Inputs: ``previous`` (folder with ``model.onnx``), ``inputs`` (folder of
    `source.prepare`). Files: ``values-N.npz`` per sample, arrays by the node's position (``n0``, ``n1``, ...).

    Returns:
        ``samples``; ``outputs``: the name of the output that each position stands for; ``versions``.

    Raises:
        Exception: onnx-tf has no handler for an op, or a node cannot be computed.
    """
    import importlib.metadata

    import numpy as np

    job.stage("export")
    import onnx_tf.backend

    model = build(job.params["model"])
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    samples = min(job.params["samples"], tensors.count(inputs))
    file, names = _all_outputs(job.inputs["previous"] / ARTIFACT)
    given = [each.name for each in file.graph.input]
    order, _ = tensors.match([spec.name for spec in model.inputs()], [[name] for name in given], "input")
    network = onnx_tf.backend.prepare(file)
    job.stage("invoke")
    for sample in range(samples):
        arrays = tensors.sample(inputs, sample)
        fed = {given[i]: arrays[spec.name] for i, spec in zip(order, model.inputs(), strict=True)}
        answer = network.run(fed)
        found = {f"n{place}": np.asarray(answer[name]) for place, name in enumerate(names)}
        np.savez(job.out / f"values-{sample}.npz", **found)  # type: ignore[arg-type]
    return {"samples": samples, "outputs": names, "onnx-tf": importlib.metadata.version("onnx-tf")}


def compare(job: Job) -> dict[str, Any]:
    """Hold what `values` kept against onnxruntime, node by node: passed on, and made in the node.

    Params: ``model``. Inputs: ``previous``, ``inputs`` as there; ``values`` (its folder). Files: ``ops.json``, rows as
    those of `explain.explain` (``kind`` is the ONNX operator, ``tensor`` the name of its output).

    Returns:
        ``named``: the row of the first node that makes an error of its own (`BROKEN_DB`), or ``None``; ``worst``: rows
        that make one, in order; ``sqnr_db`` of the last node; ``samples``, ``ops``, ``compared``.
    """
    import onnx
    import onnxruntime

    job.stage("invoke")
    model = build(job.params["model"])
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    kept = sorted(job.inputs["values"].glob("values-*.npz"))
    whole, names = _all_outputs(job.inputs["previous"] / ARTIFACT)
    nodes = [node for node in whole.graph.node if node.output[0] in names]
    given = [each.name for each in whole.graph.input]
    order, _ = tensors.match([spec.name for spec in model.inputs()], [[name] for name in given], "input")

    first = tensors.load(kept[0])
    apart = onnx.ModelProto()
    apart.CopyFrom(whole)
    places = {name: f"n{place}" for place, name in enumerate(names)}
    for node in apart.graph.node:
        for slot, name in enumerate(node.input):
            if name in places:
                node.input[slot] = f"fed/{name}"
    apart.graph.input.extend(
        onnx.helper.make_tensor_value_info(
            f"fed/{name}", onnx.helper.np_dtype_to_tensor_dtype(first[key].dtype), first[key].shape
        )
        for name, key in places.items()
    )

    def session(file: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])

    in_order, alone = session(whole), session(apart)
    used = {each.name for each in alone.get_inputs()}
    passed, made = ([Sums() for _ in names] for _ in range(2))
    for sample, path in enumerate(kept):
        ours: dict[str, npt.NDArray[Any]] = tensors.load(path)
        arrays = tensors.sample(inputs, sample)
        fed = {given[i]: arrays[spec.name] for i, spec in zip(order, model.inputs(), strict=True)}
        right = in_order.run(names, fed)
        fed |= {f"fed/{name}": ours[key] for name, key in places.items() if f"fed/{name}" in used}
        expected = alone.run(names, {name: value for name, value in fed.items() if name in used})
        for place, name in enumerate(names):
            value = ours[places[name]]
            if value.dtype.kind == "f" and value.size == right[place].size:
                passed[place].add(right[place], value)
                made[place].add(expected[place], value)
    rows = []
    for place, (node, name) in enumerate(zip(nodes, names, strict=True)):
        row: dict[str, Any] = {
            "place": place,
            "kind": node.op_type,
            "tensor": name,
            "layer": node.name or name,
            "shape": list(first[places[name]].shape),
            "dtype": str(first[places[name]].dtype),
            "compared": passed[place].elements > 0,
        }
        if row["compared"]:
            row |= {
                "sqnr_db": passed[place].sqnr_db,
                "cosine": passed[place].cosine,
                "made_db": made[place].sqnr_db,
                "max_abs": passed[place].largest,
                "low": passed[place].low,
                "high": passed[place].high,
            }
        rows.append(row)
    (job.out / "ops.json").write_text(json.dumps(rows))
    broken = [row for row in rows if row["compared"] and row["made_db"] < BROKEN_DB]
    compared = [row for row in rows if row["compared"]]
    return {
        "named": broken[0] if broken else None,
        "worst": broken,
        "layers": [],
        "sqnr_db": compared[-1]["sqnr_db"] if compared else None,
        "samples": len(kept),
        "ops": len(rows),
        "compared": len(compared),
    }
