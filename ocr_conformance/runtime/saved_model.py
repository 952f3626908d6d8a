"""Run the SavedModel hop of a route, so that a parity check can say which hop lost what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.source import versions

if TYPE_CHECKING:
    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel

SIGNATURE = "serving_default"


def run(job: Job) -> dict[str, Any]:
    """Run a SavedModel's ``serving_default`` signature at batch 1, sample by sample.

    Params: ``model``. Inputs: ``artifact`` (folder with ``saved_model/``), ``inputs`` (folder of `source.prepare`).
    Files: ``outputs.npz``, float32 ``[N, ...]`` per declared output.

    Returns:
        ``texts`` (see `tensors.decode`), ``runtime`` (name and version), ``mapping`` (names found by name or order).

    Raises:
        ValueError: the SavedModel has no such signature, or another number of inputs or outputs than the model.
    """
    model: SourceModel = build(job.params["model"])
    import tensorflow as tf

    job.stage("allocate")
    loaded = tf.saved_model.load(str(job.inputs["artifact"] / "saved_model"))
    if SIGNATURE not in loaded.signatures:
        raise ValueError(f"the SavedModel has no signature {SIGNATURE!r}, only {sorted(loaded.signatures)}")
    function = loaded.signatures[SIGNATURE]
    feeds = list(function.structured_input_signature[1])
    gives = list(function.structured_outputs)
    feed_order, _ = tensors.match([s.name for s in model.inputs()], [[name] for name in feeds], "input")
    give_order, mapping = tensors.match([s.name for s in model.outputs()], [[name] for name in gives], "output")

    job.stage("invoke")
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    results = []
    for index in range(tensors.count(inputs)):
        one = tensors.sample(inputs, index)
        arguments = {feeds[i]: tf.constant(one[spec.name]) for i, spec in zip(feed_order, model.inputs(), strict=True)}
        answer = function(**arguments)
        results.append(
            {spec.name: answer[gives[i]].numpy() for i, spec in zip(give_order, model.outputs(), strict=True)}
        )
    outputs = tensors.stack(results)
    tensors.save(job.out / "outputs.npz", tensors.as_float32(outputs))
    return {
        **tensors.decode(model, outputs),
        "runtime": f"tensorflow {tf.__version__}",
        "mapping": mapping,
        "versions": versions(),
    }
