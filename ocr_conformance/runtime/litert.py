"""Run a ``.tflite`` file: LiteRT where it is installed, else TensorFlow's own interpreter; the facts say which."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING, Any

from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.source import versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

ARTIFACT = "model.tflite"
_SHOWN = 5  # numbers of an output that a message can show


def interpreter_class() -> tuple[Any, str]:
    """The ``Interpreter`` class of this toolchain, and the runtime's name and version.

    ``ai-edge-litert`` where it is installed (its failure to import is a failure, not a reason to fall back), else
    ``tensorflow.lite``, which up to 2.18 also carries the Flex (Select-TF) kernels.

    Raises:
        ImportError: the toolchain has neither.
    """
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError("this toolchain has neither ai-edge-litert nor tensorflow to run a .tflite file with")
    import tensorflow as tf

    return tf.lite.Interpreter, f"tensorflow.lite {tf.__version__}"


class Session:
    """One interpreter, allocated, fed and read by the names that the model declares.

    Tensors are those of the file's primary subgraph, which every signature-less file has; where a signature is bound to
    it, its names are known, too.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int,
        inputs: Tensors,
        input_names: Sequence[str] = (),
        output_names: Sequence[str] = (),
        allocate: bool = True,
    ) -> None:
        """Load and allocate.

        Args:
            path: the file; it is memory-mapped, as an app does.
            threads: of the kernels.
            inputs: arrays ``[N, ...]`` of which one sample will be fed; gives shapes to inputs of unknown size.
            input_names, output_names: as the model declares them; empty: the names in ``inputs``, the file's own.
            allocate: whether to call `allocate` at once.

        Raises:
            ValueError: the file cannot be loaded, or has another number of inputs or outputs than the model, or an
                input of another shape.
            RuntimeError: the runtime refuses to allocate it.
        """
        interpreter, self.runtime = interpreter_class()
        self._interpreter = interpreter(model_path=str(path), num_threads=threads)
        self._input_names = list(input_names) or list(inputs)
        self._sample = tensors.sample(inputs, 0)
        signed_inputs, signed_outputs = self._signature()
        found = self._interpreter.get_input_details()
        aliases = [[signed_inputs.get(d["index"], d["name"]), d["name"]] for d in found]
        order, self.input_mapping = tensors.match(self._input_names, aliases, "input")
        self.feeds = [found[i]["index"] for i in order]
        given = self._interpreter.get_output_details()
        aliases = [[signed_outputs.get(d["index"], d["name"]), d["name"]] for d in given]
        self._output_names = list(output_names) or [names[0] for names in aliases]
        order, self.output_mapping = tensors.match(self._output_names, aliases, "output")
        self.gives = [given[i]["index"] for i in order]
        self.declared_inputs = [self._describe(found, index, signed_inputs) for index in self.feeds]
        self.declared_outputs = [self._describe(given, index, signed_outputs) for index in self.gives]
        if allocate:
            self.allocate()

    def _signature(self) -> tuple[dict[int, str], dict[int, str]]:
        """Names by tensor index, of the signature whose tensors are the primary subgraph's inputs and outputs."""
        feeds = {d["index"] for d in self._interpreter.get_input_details()}
        gives = {d["index"] for d in self._interpreter.get_output_details()}
        self.signature_names = list(self._interpreter.get_signature_list())
        for key in self.signature_names:
            runner = self._interpreter.get_signature_runner(key)
            by_input = {d["index"]: name for name, d in runner.get_input_details().items()}
            by_output = {d["index"]: name for name, d in runner.get_output_details().items()}
            if set(by_input) == feeds and set(by_output) == gives:
                return by_input, by_output
        return {}, {}

    @staticmethod
    def _describe(details: list[dict[str, Any]], index: int, signed: dict[int, str]) -> dict[str, Any]:
        detail = next(d for d in details if d["index"] == index)
        scale, zero_point = detail["quantization"]
        return {
            "name": signed.get(index, detail["name"]),
            "tensor": detail["name"],
            "shape": [int(n) for n in detail["shape"]],
            "shape_signature": [int(n) for n in detail["shape_signature"]],
            "dtype": detail["dtype"].__name__,
            "scale": float(scale),
            "zero_point": int(zero_point),
        }

    def allocate(self) -> None:
        """Give inputs of unknown size the sample's shape, then plan the memory.

        Raises:
            ValueError: a sample has another shape than the file's input.
            RuntimeError: the runtime refuses.
        """
        for name, index, declared in zip(self._input_names, self.feeds, self.declared_inputs, strict=True):
            shape = list(self._sample[name].shape)
            if shape == declared["shape"]:
                continue
            signature = declared["shape_signature"]
            if len(shape) != len(signature) or any(b not in (a, -1) for a, b in zip(shape, signature, strict=True)):
                raise ValueError(
                    f"the file's input {declared['name']!r} has shape {signature}, the model feeds {shape}"
                )
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()

    def feed(self, sample: Tensors) -> None:
        """Set the inputs from arrays ``[1, ...]`` by declared name, quantized where the file's input is integer."""
        for name, index, declared in zip(self._input_names, self.feeds, self.declared_inputs, strict=True):
            value = sample[name]
            if declared["scale"] and value.dtype.kind == "f":
                value = tensors.quantize(value, declared["dtype"], declared["scale"], declared["zero_point"])
            self._interpreter.set_tensor(index, value.astype(declared["dtype"], copy=False))

    def reset(self) -> None:
        """Put the state of stateful kernels back to zero (fused LSTMs keep it between invokes)."""
        self._interpreter.reset_all_variables()

    def invoke(self) -> None:
        """Run once on what was fed.

        Raises:
            RuntimeError: a kernel fails.
        """
        self._interpreter.invoke()

    def read(self) -> Tensors:
        """Outputs by declared name, float32, de-quantized."""
        result = {}
        for name, index, declared in zip(self._output_names, self.gives, self.declared_outputs, strict=True):
            value = self._interpreter.get_tensor(index)
            if declared["scale"] and value.dtype.kind in "iu":
                value = tensors.dequantize(value, declared["scale"], declared["zero_point"])
            result[name] = value
        return tensors.as_float32(result)

    def nodes(self) -> list[tuple[str, list[int], list[int]]]:
        """Name, inputs and outputs (tensor indices, -1: omitted) of each node of the primary subgraph as it runs.

        The file's ops come first and stay listed when a delegate takes them; what replaces them are the nodes named
        ``DELEGATE`` behind them. Those of other subgraphs the interpreter does not show.
        """
        details = self._interpreter._get_ops_details()
        return [(d["op_name"], [int(i) for i in d["inputs"]], [int(i) for i in d["outputs"]]) for d in details]

    def __call__(self, sample: Tensors, *, reset: bool = True) -> Tensors:
        """Feed, invoke and read; ``reset`` puts the state back to zero before."""
        if reset:
            self.reset()
        self.feed(sample)
        self.invoke()
        return self.read()


def _session(job: Job, model: SourceModel, inputs: Tensors, threads: int) -> Session:
    return Session(
        job.inputs["artifact"] / ARTIFACT,
        threads=threads,
        inputs=inputs,
        input_names=[spec.name for spec in model.inputs()],
        output_names=[spec.name for spec in model.outputs()],
    )


def open_artifact(job: Job, model: SourceModel, inputs: Tensors) -> Session:
    """The artifact of ``job.inputs["artifact"]``, allocated, to be called with one sample after the other.

    Raises:
        ValueError, RuntimeError: see `Session`.
    """
    return _session(job, model, inputs, job.params["threads"])


def run(job: Job) -> dict[str, Any]:
    """Run an artifact at batch 1, sample by sample, its state reset before each invoke.

    Params: ``model``, ``threads``. Inputs: ``artifact`` (folder with ``model.tflite``), ``inputs`` (folder of
    `source.prepare` or of `crops.cut`). Files: ``outputs.npz``, float32 ``[N, ...]`` per declared output, de-quantized;
    ``boxes.json`` (see `tensors.decode_in`). Of no sample only ``texts`` (none) and ``versions`` are given.

    Float inputs of integer files are quantized as an app does it: round, add the zero point, clip.

    Returns:
        ``texts`` and ``boxes`` (see `tensors.decode`); ``runtime`` (name and version); ``threads``; ``inputs`` and
        ``outputs``, in the model's order: ``name`` (signature's, else tensor's), ``tensor``, ``declared_as`` (the
        model's name), ``shape`` and ``shape_signature`` (as the file declares them), ``dtype``, ``scale``,
        ``zero_point`` (0.0 and 0 where not quantized), and for outputs ``real_shape`` (what an invoke gave);
        ``input_mapping`` and ``output_mapping`` (found by ``name`` or ``order``); ``signature_names``; ``nonfinite``
        (how many numbers of the outputs are).

    Raises:
        ValueError, RuntimeError: see `Session`.
    """
    import numpy as np

    model: SourceModel = build(job.params["model"])
    threads: int = job.params["threads"]
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    if not tensors.count(inputs):
        return {"texts": [], "boxes": None, "versions": versions()}

    job.stage("allocate")
    session = _session(job, model, inputs, threads)

    job.stage("invoke")
    outputs = tensors.one_by_one(session, inputs)
    tensors.save(job.out / "outputs.npz", outputs)
    described_inputs = [
        {**declared, "declared_as": spec.name}
        for declared, spec in zip(session.declared_inputs, model.inputs(), strict=True)
    ]
    described_outputs = [
        {**declared, "declared_as": spec.name, "real_shape": [1, *outputs[spec.name].shape[1:]]}
        for declared, spec in zip(session.declared_outputs, model.outputs(), strict=True)
    ]
    return {
        **tensors.decode_in(job, model, outputs),
        "runtime": session.runtime,
        "threads": threads,
        "inputs": described_inputs,
        "outputs": described_outputs,
        "input_mapping": session.input_mapping,
        "output_mapping": session.output_mapping,
        "signature_names": session.signature_names,
        "nonfinite": int(sum(np.count_nonzero(~np.isfinite(value)) for value in outputs.values())),
        "versions": versions(),
    }


def _difference(first: Tensors, second: Tensors) -> dict[str, Any]:
    """How far ``second`` is from ``first`` (``[N, ...]`` per output), over all outputs: the worst one counts.

    ``max_abs`` in units of the output, ``scaled`` by the largest magnitude in that output of ``first`` (0.0 .. about 1;
    an all-zero reference is taken as magnitude 1). Positions that hold the same non-finite number are equal, other
    non-finite ones infinitely far.
    """
    import numpy as np

    worst: dict[str, Any] = {"max_abs": -1.0, "scaled": -1.0}
    for name, reference in first.items():
        other = second[name]
        with np.errstate(invalid="ignore"):
            gap = np.abs(reference.astype(np.float64) - other)
        same = (reference == other) | (np.isnan(reference) & np.isnan(other))
        gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
        finite = np.abs(reference[np.isfinite(reference)])
        magnitude = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        at = np.unravel_index(int(gap.argmax()), gap.shape)
        if gap[at] / magnitude > worst["scaled"]:
            worst = {
                "max_abs": float(gap[at]),
                "scaled": float(gap[at]) / magnitude,
                "worst": {
                    "output": name,
                    "index": [int(i) for i in at],
                    "first": float(reference[at]),
                    "second": float(other[at]),
                },
                "first_values": [float(v) for v in reference[at[0]].ravel()[:_SHOWN]],
                "second_values": [float(v) for v in other[at[0]].ravel()[:_SHOWN]],
            }
    return worst


def repeat(job: Job) -> dict[str, Any]:
    """Does an artifact answer the same when its interpreter is used again?

    Params: as in `run`, and ``samples`` (how many of the inputs are tried, 4). Inputs as in `run`.

    Every scenario compares the first invoke of a fresh interpreter with another invoke of the same input:

    - ``second``: the next invoke of that interpreter; ``second-reset``: the same after ``reset_all_variables()``
    - ``after-another``: another image was invoked in between; ``after-another-reset``: the same, reset before the last
    - ``reused``: an interpreter that has run all the samples so far, reset before each (against a fresh one)
    - ``threads-N``: a fresh interpreter with N threads; N is 1, 2 and ``threads``, without ``threads`` itself

    Returns:
        ``runtime``, ``threads``, ``samples``; ``scenarios``: name -> ``max_abs``, ``scaled`` (by the first output's
        largest magnitude), ``worst`` (where, and both numbers), ``first_values`` and ``second_values`` (the first
        numbers of the sample in which it is worst), ``first_texts`` and ``second_texts`` (``None`` where the outputs do
        not decode), ``changed`` (texts that differ). With one sample there is no ``after-another``.
    """
    model: SourceModel = build(job.params["model"])
    threads: int = job.params["threads"]
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    number = min(int(job.params.get("samples", 4)), tensors.count(inputs))
    samples = [tensors.sample(inputs, index) for index in range(number)]

    job.stage("allocate")
    reused = _session(job, model, inputs, threads)
    job.stage("invoke")
    first: list[Tensors] = []
    again: dict[str, list[Tensors]] = {}
    for index, sample in enumerate(samples):
        session = _session(job, model, inputs, threads)
        first.append(session(sample, reset=False))
        again.setdefault("second", []).append(session(sample, reset=False))
        again.setdefault("second-reset", []).append(session(sample))
        if number > 1:
            another = samples[(index + 1) % number]
            session(another)
            again.setdefault("after-another", []).append(session(sample, reset=False))
            session(another)
            again.setdefault("after-another-reset", []).append(session(sample))
        again.setdefault("reused", []).append(reused(sample))
        for other in sorted({1, 2} - {threads}):
            result = _session(job, model, inputs, other)(sample, reset=False)
            again.setdefault(f"threads-{other}", []).append(result)

    reference = tensors.stack(first)
    first_texts = tensors.decode(model, reference)["texts"]
    scenarios: dict[str, Any] = {}
    for name, results in again.items():
        outputs = tensors.stack(results)
        texts = tensors.decode(model, outputs)["texts"]
        changed = None
        if texts is not None and first_texts is not None:
            changed = sum(a != b for a, b in zip(first_texts, texts, strict=True))
        scenarios[name] = {
            **_difference(reference, outputs),
            "first_texts": first_texts,
            "second_texts": texts,
            "changed": changed,
        }
    return {"runtime": reused.runtime, "threads": threads, "samples": number, "scenarios": scenarios}
