"""The first node of a source graph that its artifact does not compute: where there is no float file that is right.

Nodes of ``torch.export``'s program (or of the ONNX file) and tensors of the ``.tflite`` file have no names in common,
and converters fuse, split and transpose. What they have in common is their numbers: a node is *found* where some tensor
of the artifact holds the same ones, in whatever order, for every sample. A node is *lost* where neither it nor anything
that is computed from it in a few steps is found (a recurrent network may come back to the right numbers later). The
first lost node whose inputs are not lost is where the artifact goes wrong.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ocr_conformance.diagnose.align import tensor_name
from ocr_conformance.diagnose.explain import in_groups, layer
from ocr_conformance.diagnose.runner import Runner, dequantized
from ocr_conformance.diagnose.surgery import Surgeon
from ocr_conformance.inspect.tflite import TFLiteFile
from ocr_conformance.model import TorchModel, build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

TOLERANCE = 1e-3
"""Two sets of numbers are the same where their sums, sums of squares and extremes agree so well, relative to their
size. Float kernels differ by about 1e-6; what fails a text differs by far more."""

FUSED = 8
"""So many nodes in a row may be fused to one op: convolution, bias, BatchNorm, activation, reshapes."""


@dataclass(frozen=True)
class Print:
    """What identifies a tensor's numbers, whatever their order."""

    elements: int
    mean: float
    rms: float
    low: float
    high: float
    skew: float
    """Cube root of the mean cube: tells numbers from their negatives."""
    telling: bool
    """Whether more than two numbers are in it: a one-hot of one class looks like that of another."""

    @classmethod
    def of(cls, value: npt.NDArray[Any]) -> Print:
        """Take it of one sample's tensor."""
        import numpy as np

        flat = np.asarray(value, np.float64).ravel()
        if not flat.size:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0.0, False)
        rms = math.sqrt(float(flat @ flat) / flat.size)
        skew = float(np.cbrt(float((flat**3).mean())))
        low, high = float(flat.min()), float(flat.max())
        telling = bool(np.any((flat != low) & (flat != high)))
        return cls(flat.size, float(flat.mean()), rms, low, high, skew, telling)

    def same(self, other: Print) -> bool:
        """Whether these are the same numbers, within `TOLERANCE`."""
        size = TOLERANCE * max(self.rms, 1e-12)
        return self.elements == other.elements and all(
            abs(a - b) <= size * (10 if name == "skew" else 1)  # a cube root magnifies what is near zero
            for name, a, b in zip(
                ("mean", "rms", "low", "high", "skew"),
                (self.mean, self.rms, self.low, self.high, self.skew),
                (other.mean, other.rms, other.low, other.high, other.skew),
                strict=True,
            )
        )


@dataclass
class Node:
    """One node of the source graph."""

    name: str
    kind: str
    layer: str
    inputs: list[int]
    """Nodes that it reads, by their place in the graph's order."""
    fed: bool = False
    """Whether it depends on what the network is fed; others are constants that converters fold."""
    shape: tuple[int, ...] = ()
    prints: list[Print] = field(default_factory=list)
    """One a sample; none where it computes no float tensor."""
    where: str = ""
    """The line of the source's code."""


def torch_nodes(model: TorchModel, form: str, inputs: Tensors, samples: int) -> list[Node]:
    """Run ``torch.export``'s program of the network in a form (see `TorchModel.torch_model`); prints of every node."""
    import torch

    network = model.torch_model(form=form)
    names = [spec.name for spec in model.inputs()]

    def fed(sample: int) -> tuple[Any, ...]:
        arrays = tensors.sample(inputs, sample)
        return tuple(torch.from_numpy(arrays[name]) for name in names)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that LSTMs keep their weights in a list, too
        program = torch.export.export(network, fed(0)).module()
    found: list[Node] = []
    places: dict[Any, int] = {}
    for node in program.graph.nodes:
        places[node] = len(found)
        stack = node.meta.get("nn_module_stack") or {}
        path = next(reversed([entry[0] for entry in stack.values()]), "") if stack else ""
        trace = (node.meta.get("stack_trace") or "").strip().splitlines()
        kind = getattr(node.target, "__name__", str(node.target)) if node.op == "call_function" else node.op
        before = [places[each] for each in node.all_input_nodes]
        is_fed = node.op == "placeholder" or any(found[i].fed for i in before)
        found.append(Node(node.name, kind, path.replace("L['self'].", "").replace(".", "/"), before, is_fed))
        found[-1].where = trace[-1].strip() if trace else ""

    class Capture(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: Any) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                found[places[n]].prints.append(Print.of(value.detach().numpy()))
                found[places[n]].shape = tuple(value.shape)
            return value

    with torch.no_grad():
        for sample in range(samples):
            Capture(program).run(*fed(sample))
    return found


def onnx_nodes(path: str, model: SourceModel, inputs: Tensors, samples: int) -> list[Node]:
    """Run an ONNX file by onnxruntime with every node's outputs, and take their prints."""
    import numpy as np
    import onnx
    import onnxruntime

    file = onnx.load(path)
    found = [Node(each.name, "input", "", [], True) for each in file.graph.input]
    makers = {each.name: place for place, each in enumerate(file.graph.input)}
    given = [each.name for each in file.graph.input]
    for node in file.graph.node:
        before = [makers[name] for name in node.input if name in makers]
        found.append(Node(node.output[0], node.op_type, node.name, before, any(found[i].fed for i in before)))
        makers.update({name: len(found) - 1 for name in node.output if name})
    wanted = [node.output[0] for node in file.graph.node]
    known = {output.name for output in file.graph.output}
    file.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted if name not in known)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])
    order, _ = tensors.match([spec.name for spec in model.inputs()], [[name] for name in given], "input")
    for sample in range(samples):
        arrays = tensors.sample(inputs, sample)
        fed = {given[i]: arrays[spec.name] for i, spec in zip(order, model.inputs(), strict=True)}
        for name, value in zip(wanted, session.run(wanted, fed), strict=True):
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                found[makers[name]].prints.append(Print.of(value))
                found[makers[name]].shape = value.shape
    return found


@dataclass
class Tensor:
    """A tensor that the artifact computes."""

    place: int
    """Of the op that makes it, in execution order."""
    tensor: int
    prints: list[Print] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    """As it really is; a wrong graph may declare another one."""


def artifact_tensors(content: bytes, feeds: Sequence[dict[int, npt.NDArray[np.float32]]]) -> list[Tensor]:
    """Prints of the first output of every op of a file, and of its inputs (place -1)."""
    file = TFLiteFile(content)
    found = [Tensor(-1, index, [Print.of(fed[index]) for fed in feeds], feeds[0][index].shape) for index in feeds[0]]
    computed = [
        Tensor(place, op.outputs[0])
        for place, op in enumerate(file.ops[0])
        if op.outputs and not all(file.data(0, i) is not None for i in op.inputs if i >= 0)
    ]
    for group in in_groups(file, computed):
        surgeon = Surgeon(content)
        surgeon.set_outputs([tensor.tensor for tensor in group])
        runner = Runner(surgeon.pack())
        for fed in feeds:
            values = runner(fed, [tensor.tensor for tensor in group])
            for tensor in group:
                value = dequantized(file, tensor.tensor, values[tensor.tensor])
                if value.dtype.kind == "f":
                    tensor.prints.append(Print.of(value))
                    tensor.shape = value.shape
    return found + computed


def match(nodes: list[Node], found: list[Tensor]) -> dict[int, Tensor]:
    """The artifact's tensor that holds each node's numbers, where one does (the first)."""
    by_size: dict[int, list[Tensor]] = {}
    for tensor in found:
        if tensor.prints:
            by_size.setdefault(tensor.prints[0].elements, []).append(tensor)
    matched = {}
    for place, node in enumerate(nodes):
        telling = any(each.telling for each in node.prints)
        for tensor in by_size.get(node.prints[0].elements, ()) if telling else ():
            if all(a.same(b) for a, b in zip(node.prints, tensor.prints, strict=True)):
                matched[place] = tensor
                break
    return matched


def first_lost(nodes: list[Node], matched: dict[int, Tensor]) -> int | None:
    """The place of the node where the artifact goes wrong; ``None`` where everything soon leads to something found."""
    far = [math.inf] * len(nodes)  # nodes on the shortest way to one that is found
    for place in reversed(range(len(nodes))):
        if place in matched:
            far[place] = 0
        for before in nodes[place].inputs:
            far[before] = min(far[before], far[place] + 1)
    right = [distance <= FUSED for distance in far]
    for place, node in enumerate(nodes):
        fed = [i for i in node.inputs if nodes[i].fed and nodes[i].prints]
        if right[place] or not node.fed or not all(right[i] for i in fed):
            continue
        if fed and any(each.telling for each in node.prints):
            return place
        right[place] = True  # a one-hot, say: nothing is known of it but what it was made from
    return None


def explain(job: Job) -> dict[str, Any]:
    """Compare a float artifact with the graph that it was made from, by the numbers that both compute.

    Params: ``model``, ``samples``, ``form`` (of a PyTorch network). Inputs: ``artifact`` (folder with
    ``model.tflite``), ``inputs`` (folder of `source.prepare`), ``onnx`` (folder with ``model.onnx``; without it the
    source is a PyTorch network, and its graph ``torch.export``'s). Files: ``nodes.json``: per node ``name``, ``kind``,
    ``layer``, ``shape``, ``found`` (op of the artifact whose output holds its numbers, or ``None``).

    Returns:
        ``named``: of the first lost node ``node``, ``kind``, ``layer``, ``where`` (the source's line), ``shape``;
        ``inputs``: where its inputs were found: ``node``, ``place``, ``tensor``, ``declared`` and ``real`` shape;
        ``ops``: the artifact's ops that read those, ``place`` and ``kind``; or ``None``. ``nodes``, ``found`` (numbers
        of float nodes that depend on the input, and of those that were found); ``samples``.
    """
    job.stage("source")
    model: SourceModel = build(job.params["model"])
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    samples = min(job.params["samples"], tensors.count(inputs))
    if "onnx" in job.inputs:
        nodes = onnx_nodes(str(job.inputs["onnx"] / "model.onnx"), model, inputs, samples)
    else:
        assert isinstance(model, TorchModel)
        nodes = torch_nodes(model, job.params["form"], inputs, samples)
    job.stage("allocate")
    path = job.inputs["artifact"] / ARTIFACT
    names = [spec.name for spec in model.inputs()]
    outputs = [spec.name for spec in model.outputs()]
    session = Session(path, threads=1, inputs=inputs, input_names=names, output_names=outputs, allocate=False)
    feeds = [
        {index: tensors.sample(inputs, sample)[name] for index, name in zip(session.feeds, names, strict=True)}
        for sample in range(samples)
    ]
    job.stage("invoke")
    content = path.read_bytes()
    found = artifact_tensors(content, feeds)
    matched = match(nodes, found)
    (job.out / "nodes.json").write_text(
        json.dumps(
            [
                {
                    "name": node.name,
                    "kind": node.kind,
                    "layer": node.layer,
                    "shape": list(node.shape),
                    "found": matched[place].place if place in matched else None,
                }
                for place, node in enumerate(nodes)
            ]
        )
    )
    able = [place for place, node in enumerate(nodes) if node.fed and any(each.telling for each in node.prints)]
    return {
        "named": _lost(TFLiteFile(content), nodes, matched, first_lost(nodes, matched)),
        "nodes": len(able),
        "found": sum(place in matched for place in able),
        "samples": samples,
    }


def _lost(file: TFLiteFile, nodes: list[Node], matched: dict[int, Tensor], place: int | None) -> dict[str, Any] | None:
    if place is None:
        return None
    node = nodes[place]
    sources = []
    pending = list(node.inputs)
    while pending:  # an input that was fused away: its own inputs
        before = pending.pop(0)
        if before in matched:
            sources.append((nodes[before].name, matched[before]))
        elif nodes[before].fed:
            pending += nodes[before].inputs
    read = {tensor.tensor for _, tensor in sources}
    return {
        "node": node.name,
        "kind": node.kind,
        "layer": node.layer,
        "where": node.where,
        "shape": list(node.shape),
        "inputs": [
            {
                "node": name,
                "place": tensor.place,
                "tensor": tensor_name(file, tensor.tensor),
                "declared": file.shape(0, tensor.tensor),
                "real": list(tensor.shape),
            }
            for name, tensor in sources
        ],
        "ops": [
            {"place": number, "kind": op.name, "layer": layer(tensor_name(file, op.outputs[0]))}
            for number, op in enumerate(file.ops[0])
            if read & set(op.inputs)
        ],
    }
