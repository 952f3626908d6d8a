"""Run the SavedModel hop of a route, so that a parity check can say which hop lost what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.source import versions

if TYPE_CHECKING:
    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

SIGNATURE = "serving_default"


class SavedModelSession:
    """A SavedModel's ``serving_default``, fed and read by the names that the model declares (else by order)."""

    def __init__(self, folder: str, model: SourceModel) -> None:
        """Load.

        Raises:
            ValueError: there is no such signature, or another number of inputs or outputs than the model has.
        """
        import tensorflow as tf

        self._tf = tf
        self._loaded = tf.saved_model.load(folder)  # kept: its variables live as long as it does
        if SIGNATURE not in self._loaded.signatures:
            raise ValueError(f"the SavedModel has no signature {SIGNATURE!r}, only {sorted(self._loaded.signatures)}")
        self.function = self._loaded.signatures[SIGNATURE]
        feeds = list(self.function.structured_input_signature[1])
        gives = list(self.function.structured_outputs)
        self._inputs, self._outputs = model.inputs(), model.outputs()
        order, _ = tensors.match([spec.name for spec in self._inputs], [[name] for name in feeds], "input")
        self._feeds = [feeds[index] for index in order]
        order, self.mapping = tensors.match([spec.name for spec in self._outputs], [[name] for name in gives], "output")
        self._gives = [gives[index] for index in order]

    def graph(self, *arrays: Any) -> list[Any]:
        """Outputs in the model's order of inputs in the model's order, as TensorFlow's tensors."""
        answer = self.function(**dict(zip(self._feeds, arrays, strict=True)))
        return [answer[name] for name in self._gives]

    def __call__(self, sample: Tensors) -> Tensors:
        """Outputs by declared name of arrays by declared name."""
        given = self.graph(*(self._tf.constant(sample[spec.name]) for spec in self._inputs))
        return {spec.name: value.numpy() for spec, value in zip(self._outputs, given, strict=True)}


def run(job: Job) -> dict[str, Any]:
    """Run a SavedModel's ``serving_default`` signature at batch 1, sample by sample.

    Params: ``model``. Inputs: ``artifact`` (folder with ``saved_model/``), ``inputs`` (folder of `source.prepare`).
    Files: ``outputs.npz``, float32 ``[N, ...]`` per declared output.

    Returns:
        ``texts`` and ``boxes`` (see `tensors.decode`), ``runtime`` (name and version), ``mapping`` (names found by name
        or order).

    Raises:
        ValueError: see `SavedModelSession`.
    """
    model: SourceModel = build(job.params["model"])
    import tensorflow as tf

    job.stage("allocate")
    session = SavedModelSession(str(job.inputs["artifact"] / "saved_model"), model)
    job.stage("invoke")
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    outputs = tensors.one_by_one(session, inputs)
    tensors.save(job.out / "outputs.npz", tensors.as_float32(outputs))
    return {
        **tensors.decode_in(job, model, outputs),
        "runtime": f"tensorflow {tf.__version__}",
        "mapping": session.mapping,
        "versions": versions(),
    }
