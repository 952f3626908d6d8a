"""Look into a WHILE: its body as a network of its own, and each step's state as a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.diagnose.runner import Runner
from ocr_conformance.diagnose.surgery import pack, whole
from ocr_conformance.inspect.tflite import TFLiteFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ocr_conformance.diagnose.runner import Values

_CALLS = (
    "condSubgraphIndex",
    "bodySubgraphIndex",
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "decompositionSubgraphIndex",
)
_MOST_STEPS = 1000


def as_main(content: bytes, subgraph: int) -> bytes:
    """The same file with another subgraph as the primary one."""
    model = whole(TFLiteFile(content))
    graphs = list(model.subgraphs)
    graphs[0], graphs[subgraph] = graphs[subgraph], graphs[0]
    moved = {0: subgraph, subgraph: 0}
    for graph in graphs:
        for op in graph.operators if graph.operators is not None else ():
            for options in (op.builtinOptions, getattr(op, "builtinOptions2", None)):
                for name in _CALLS:
                    if hasattr(options, name):
                        called = getattr(options, name)
                        setattr(options, name, moved.get(called, called))
    model.subgraphs, model.signatureDefs = graphs, None
    return pack(model)


class Steps:
    """The states that a loop goes through, as the samples of its body: what `explain.Sources` is for a network."""

    outputs: tuple[str, ...] = ()

    def __init__(self, suspect: bytes, reference: bytes) -> None:
        """Both are files whose primary subgraph is the body of the loop."""
        ours, theirs = TFLiteFile(suspect).graphs[0], TFLiteFile(reference).graphs[0]
        self.suspect, self.reference = [int(i) for i in ours.inputs], [int(i) for i in theirs.inputs]
        self.suspect_out, self.reference_out = [int(i) for i in ours.outputs], [int(i) for i in theirs.outputs]
        self.states: list[list[npt.NDArray[Any]]] = []

    def feeds(self, tensors: list[int], sample: int) -> Values:
        """A step's state by tensor: both bodies take it in the same order."""
        return dict(zip(tensors, self.states[sample], strict=True))

    def run(self, condition: bytes, body: bytes, start: Sequence[npt.NDArray[Any]], most: int) -> None:
        """Add the states of one run of the loop, ``most`` of them, spread evenly."""
        test, step = Runner(condition), Runner(body)
        asked = [int(i) for i in TFLiteFile(condition).graphs[0].inputs]
        answer = int(TFLiteFile(condition).graphs[0].outputs[0])
        states: list[list[npt.NDArray[Any]]] = []
        state = list(start)
        while len(states) < _MOST_STEPS and bool(
            test(dict(zip(asked, state, strict=True)), [answer])[answer].reshape(-1)[0]
        ):
            states.append(state)
            values = step(dict(zip(self.suspect, state, strict=True)), self.suspect_out)
            state = [values[tensor] for tensor in self.suspect_out]
        inner = states[1:-1] or states  # in the first and the last step some slices are empty
        self.states += inner[:: max(1, len(inner) // most)][:most]
