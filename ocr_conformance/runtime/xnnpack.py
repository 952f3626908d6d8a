"""Which ops XNNPACK takes: read off the graph of the running interpreter, which applies it by default."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ocr_conformance.inspect.tflite import TFLiteFile, op_macs
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocr_conformance.job import Job

    Node = tuple[str, list[int], list[int]]

_DELEGATE = "DELEGATE"


def partition(job: Job) -> dict[str, Any]:
    """Load and allocate an artifact, and see which of its ops were replaced.

    Params: ``threads``. Inputs: ``artifact``, ``inputs`` (folder of `source.prepare`; gives inputs of unknown size a
    shape).

    Returns:
        ``runtime``; of the primary subgraph: ``ops``, ``taken`` (how many XNNPACK runs), ``partitions``, ``taken_macs``
        (multiply-accumulates of one invoke), ``taken_kinds`` and ``left``: name -> count of the ops taken and left;
        ``hidden_ops``: how many ops are in other subgraphs, of which the interpreter shows nothing. What another
        delegate took (Flex) counts as left.

    Raises:
        ValueError, RuntimeError: see `Session`.
    """
    path = job.inputs["artifact"] / ARTIFACT
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    job.stage("allocate")
    session = Session(path, threads=job.params["threads"], inputs=inputs)
    file = TFLiteFile(path.read_bytes())
    ops = file.ops[0]
    nodes = session.nodes()
    partitions = [replaced(nodes[: len(ops)], delegate) for delegate in nodes[len(ops) :] if delegate[0] == _DELEGATE]
    ours = [found for found in partitions if not any(ops[index].kind == "flex" for index in found)]
    taken = set().union(*ours)
    return {
        "runtime": session.runtime,
        "ops": len(ops),
        "taken": len(taken),
        "partitions": len(ours),
        "taken_macs": sum(op_macs(file, ops[index]) for index in taken),
        "taken_kinds": dict(Counter(ops[index].name for index in sorted(taken))),
        "left": dict(Counter(op.name for index, op in enumerate(ops) if index not in taken)),
        "hidden_ops": sum(len(others) for others in file.ops[1:]),
    }


def replaced(nodes: Sequence[Node], delegate: Node) -> set[int]:
    """The nodes that a delegate's node stands for: all between its inputs (constants among them) and its outputs."""
    makers = {tensor: index for index, (_, _, outputs) in enumerate(nodes) for tensor in outputs if tensor >= 0}
    _, stop, pending = delegate[0], set(delegate[1]), list(delegate[2])
    found: set[int] = set()
    while pending:
        tensor = pending.pop()
        index = makers.get(tensor)
        if tensor in stop or index is None or index in found:
            continue
        found.add(index)
        pending += [each for each in nodes[index][1] if each >= 0]
    return found
