"""A PyTorch program for a repro: whole, or cut to the nodes that litert-torch still converts wrongly.

A part of a program is a set of its nodes with constants (weights, ``zeros``, and all that is computed from such only);
what the nodes read of others becomes an input, fed with the numbers that it has in the whole program.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.model import TorchModel, build
from ocr_conformance.runtime import tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocr_conformance.job import Job

PROGRAM = "model.pt2"

TOLERANCE = 1e-3
"""So far, relative to the largest expected number, may an output be; float kernels differ by about 1e-6."""

SPANS = (0, 1, 2, 4, 8, 16, 32, 64)
"""So many nodes before and behind the named one, in execution order, are tried: a defect may need a second reader of a
tensor, which the next step of a recurrent network is."""

_FILLED = frozenset({"new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "full_like"})

SEARCH_SECONDS = 300.0
"""After this no larger part, and no smaller one of a part that is found, is tried."""


class Program:
    """A network's exported graph with the value of every node for one sample."""

    def __init__(self, network: Any, inputs: tuple[Any, ...]) -> None:
        """Export, and run node by node."""
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that LSTMs keep their weights in a list, too
            self.module = torch.export.export(network, inputs).module()
        self.values: dict[Any, Any] = {}
        values = self.values

        class Capture(torch.fx.Interpreter):  # type: ignore[misc]
            def run_node(self, n: Any) -> Any:
                value = super().run_node(n)
                # A copy: some later node may write into it.
                values[n] = value.detach().clone() if isinstance(value, torch.Tensor) else value
                return value

        with torch.no_grad():
            Capture(self.module).run(*inputs)
        # Checks of the inputs are calls of a module; they compute nothing.
        self.nodes = [node for node in self.module.graph.nodes if node.op in ("placeholder", "call_function")]
        self._place = {node: place for place, node in enumerate(self.nodes)}
        self._fed: set[Any] = set()
        for node in self.nodes:
            if node.op == "placeholder" or (self._fed & set(node.all_input_nodes) and not _is_filled(node)):
                self._fed.add(node)

    def named(self, name: str) -> Any:
        """The node of this name."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def whole(self) -> set[Any]:
        """Every node that computes something."""
        return {node for node in self.nodes if node.op == "call_function"}

    def span(self, node: Any, before: int, behind: int) -> set[Any]:
        """A node with so many that are executed before it and behind, and what these need."""
        place = self._place[node]
        return self.closed(set(self.nodes[max(0, place - before) : place + behind + 1]) & self.whole)

    def closed(self, kept: set[Any]) -> set[Any]:
        """With what no input can stand for, constants and results that are no tensors; without what nobody reads."""
        import torch

        pending, found = list(kept), set()
        while pending:
            node = pending.pop()
            if node in found:
                continue
            found.add(node)
            for before in () if _is_filled(node) else node.all_input_nodes:
                tensor = isinstance(self.values.get(before), torch.Tensor)
                if before.op == "call_function" and (before not in self._fed or not tensor):
                    pending.append(before)
        ends = set(self.ends(found))
        for node in reversed(self.nodes):
            if node in found and node not in ends and not found & set(node.users):
                found.discard(node)
        return found

    def edge(self, kept: set[Any]) -> list[Any]:
        """What the nodes read of others, in order: the inputs of the part."""
        read = {before for node in kept if not _is_filled(node) for before in node.all_input_nodes} - kept
        return [node for node in self.nodes if node in read]

    def ends(self, kept: set[Any]) -> list[Any]:
        """The nodes that others read, in order: its outputs.

        Also those that nodes of the part read, too: what has a second reader is not fused with the first.
        """
        import torch

        last = [node for node in self.nodes if node in kept & self._fed and set(node.users) - kept]
        return [node for node in last if isinstance(self.values[node], torch.Tensor)]

    def part(self, kept: set[Any]) -> tuple[Any, tuple[Any, ...]]:
        """An exported program of these nodes, and the numbers it is fed."""
        import torch

        graph = torch.fx.Graph()
        made: dict[Any, Any] = {}
        given, ends = self.edge(kept), self.ends(kept)
        if kept == self.whole:  # with inputs that nothing reads, and its outputs in order
            output = next(node for node in self.module.graph.nodes if node.op == "output")
            given, ends = [node for node in self.nodes if node.op == "placeholder"], output.all_input_nodes
        for node in given:
            made[node] = graph.placeholder(node.name)
        for node in self.module.graph.nodes:
            used = node in kept or (node.op == "get_attr" and kept & set(node.users))
            if used and _is_filled(node):
                value = self.values[node]
                filled = (list(value.shape), value.flatten()[0].item() if value.numel() else 0)
                made[node] = graph.call_function(torch.ops.aten.full.default, filled, {"dtype": value.dtype})
            elif used and node not in made:
                made[node] = graph.node_copy(node, lambda each: made[each])
                made[node].meta = {}  # paths of this machine
        graph.output(tuple(made[node] for node in ends))
        fed = tuple(self.values[node] for node in given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(torch.fx.GraphModule(self.module, graph), fed), fed


def _is_filled(node: Any) -> bool:
    """Whether it makes a tensor of one number, in another one's size: a constant, though it reads that one."""
    name = getattr(node.target, "__name__", "").partition(".")[0]
    return name in _FILLED


def converted(exported: Any, fed: tuple[Any, ...]) -> list[Any]:
    """What litert-torch makes of a program gives: arrays, in order."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.tflite")
        litert_torch.convert(exported.module(), fed).export(path)
        run = Interpreter(path).get_signature_runner()
        answer = run(**{f"args_{place}": value.numpy() for place, value in enumerate(fed)})
    return [answer[f"output_{place}"] for place in range(len(answer))]


def given_by(exported: Any, fed: tuple[Any, ...]) -> list[Any]:
    """What the program itself gives: arrays, in order."""
    import torch

    with torch.no_grad():
        answer = exported.module()(*(each.clone() for each in fed))
    return [each.numpy() for each in answer]


def is_wrong(expected: list[Any], actual: list[Any]) -> bool:
    """Whether an output has another size than expected, or is off by more than `TOLERANCE`."""
    import numpy as np

    for right, value in zip(expected, actual, strict=True):
        if right.dtype.kind != "f":
            continue
        scale = float(np.abs(right).max()) if right.size else 0.0
        if value.size != right.size or not np.abs(value.ravel() - right.ravel()).max(initial=0.0) <= TOLERANCE * scale:
            return True
    return False


def smallest(program: Program, node: Any, wrong: Callable[[set[Any]], bool], seconds: float) -> set[Any] | None:
    """A part about a node that is wrong, of which (within the seconds) no single node can be spared; ``None``: none."""
    until = time.monotonic() + seconds

    def still(kept: set[Any]) -> bool:
        return node in kept and time.monotonic() < until and wrong(kept)

    tried: list[set[Any]] = []
    size = next((each for each in SPANS if still(program.span(node, each, each))), None)
    if size is None:
        return None
    before = _least(size, lambda few: still(program.span(node, few, size)))
    behind = _least(size, lambda few: still(program.span(node, before, few)))
    kept = program.span(node, before, behind)
    most = len(kept) + 1
    while len(kept) < most:  # one that could not be spared may be, once others are gone
        most = len(kept)
        for other in reversed(program.nodes):
            less = program.closed(kept - {other}) if other in kept else kept
            if less < kept and less not in tried and still(less):
                kept = less
            tried.append(less)
    return kept


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The smallest number up to ``most``, which is enough, that is, too."""
    least = 0
    while least < most:
        middle = (least + most) // 2
        if enough(middle):
            most = middle
        else:
            least = middle + 1
    return most


def cut(job: Job) -> dict[str, Any]:
    """Write what a repro of litert-torch needs: a program, what it is fed, what it gives and what its artifact gives.

    Params: ``model``, ``form``, and ``node``: the named one (see `values.explain`), or ``None``: the whole program,
    without its artifact's numbers. Inputs: ``inputs`` (folder of `source.prepare`). Files: ``model.pt2``;
    ``inputs.npz``, ``expected.npz`` and ``actual.npz``, arrays ``0``, ``1``, ... of one sample.

    Returns:
        ``cut``: whether it is a part of the network; ``nodes``, ``of``: nodes of it and of the network; ``ops``: what
        they are; ``tried``: how many parts were converted.

    Raises:
        ValueError: the model is no `TorchModel`.
        Exception: ``torch.export`` refuses the network.
    """
    job.stage("source")
    model = build(job.params["model"])
    if not isinstance(model, TorchModel):
        raise ValueError("only a PyTorch network has a program to cut")
    import torch

    network = model.torch_model(form=job.params["form"])
    arrays = tensors.sample(tensors.load(job.inputs["inputs"] / "inputs.npz"), 0)
    job.stage("export")
    program = Program(network, tuple(torch.from_numpy(arrays[spec.name]) for spec in model.inputs()))
    job.stage("convert")
    tried = 0

    def wrong(kept: set[Any]) -> bool:
        nonlocal tried
        tried += 1
        # A part that cannot be exported or converted is not what is looked for.
        with contextlib.suppress(Exception):
            exported, fed = program.part(kept)
            return is_wrong(given_by(exported, fed), converted(exported, fed))
        return False

    kept = None
    if job.params["node"] is not None:
        kept = smallest(program, program.named(job.params["node"]), wrong, SEARCH_SECONDS)
    exported, fed = program.part(program.whole if kept is None else kept)
    torch.export.save(exported, str(job.out / PROGRAM))
    _save(job.out / "inputs.npz", [each.numpy() for each in fed])
    _save(job.out / "expected.npz", given_by(exported, fed))
    if job.params["node"] is not None:
        _save(job.out / "actual.npz", converted(exported, fed))
    listed_nodes = [node for node in program.nodes if node in (program.whole if kept is None else kept)]
    return {
        "cut": kept is not None,
        "nodes": len(listed_nodes),
        "of": len(program.whole),
        "ops": [getattr(node.target, "__name__", str(node.target)) for node in listed_nodes] if kept else [],
        "tried": tried,
    }


def _save(path: Path, arrays: list[Any]) -> None:
    tensors.save(path, {str(place): each for place, each in enumerate(arrays)})
