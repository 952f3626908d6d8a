"""Run the ONNX hop of a route by onnxruntime, so that a parity check can say which hop lost what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.onnx import ARTIFACT
from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.source import versions

if TYPE_CHECKING:
    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors


class OnnxSession:
    """An ONNX file in onnxruntime, one thread, fed and read by the names that the model declares (else by order)."""

    def __init__(self, path: str, model: SourceModel) -> None:
        """Load.

        Raises:
            ValueError: the file has another number of inputs or outputs than the model.
            Exception: onnxruntime refuses the file.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feeds = [each.name for each in self._session.get_inputs()]
        gives = [each.name for each in self._session.get_outputs()]
        self._inputs, self._outputs = model.inputs(), model.outputs()
        order, _ = tensors.match([spec.name for spec in self._inputs], [[name] for name in feeds], "input")
        self._feeds = [feeds[index] for index in order]
        order, self.mapping = tensors.match([spec.name for spec in self._outputs], [[name] for name in gives], "output")
        self._gives = [gives[index] for index in order]

    def __call__(self, sample: Tensors) -> Tensors:
        """Outputs by declared name of arrays by declared name."""
        fed = {name: sample[spec.name] for name, spec in zip(self._feeds, self._inputs, strict=True)}
        answer = self._session.run(self._gives, fed)
        return {spec.name: value for spec, value in zip(self._outputs, answer, strict=True)}


def run(job: Job) -> dict[str, Any]:
    """Run an ONNX file at batch 1, sample by sample.

    Params: ``model``. Inputs: ``artifact`` (folder with ``model.onnx``), ``inputs`` (folder of `source.prepare`).
    Files: ``outputs.npz``, float32 ``[N, ...]`` per declared output.

    Returns:
        ``texts`` and ``boxes`` (see `tensors.decode`), ``runtime`` (name and version), ``mapping`` (names found by name
        or order).

    Raises:
        ValueError: see `OnnxSession`.
    """
    model: SourceModel = build(job.params["model"])
    job.stage("allocate")
    import onnxruntime

    session = OnnxSession(str(job.inputs["artifact"] / ARTIFACT), model)
    job.stage("invoke")
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    outputs = tensors.one_by_one(session, inputs)
    tensors.save(job.out / "outputs.npz", tensors.as_float32(outputs))
    return {
        **tensors.decode_in(job, model, outputs),
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "mapping": session.mapping,
        "versions": versions(),
    }
