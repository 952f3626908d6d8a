"""Rewrite ``.tflite`` files: more outputs, a network cut into single ops, an error put in, a part alone.

Everything works on the primary subgraph; tensors keep their indices, new ones are appended. Subgraphs that ops call
(bodies of WHILE) stay as they are, so that such an op, like a fused LSTM, is one unit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ocr_conformance.inspect.tflite import TFLiteFile, schema

Read = tuple[int, int]
"""An op's place in execution order and the slot among its inputs."""


def whole(file: TFLiteFile) -> Any:
    """A file's model with all buffers inside the flatbuffer: those that stand behind it would not move with it."""
    for number, buffer in enumerate(file.model.buffers):
        if getattr(buffer, "offset", 0) > 1:
            buffer.data, buffer.offset, buffer.size = file.buffer(number), 0, 0
    return file.model


def pack(model: Any) -> bytes:
    """The bytes of a model."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class Surgeon:
    """A copy of a file that can be changed; `pack` gives its bytes."""

    def __init__(self, content: bytes) -> None:
        """Parse.

        Raises:
            ValueError: the file has no subgraph.
        """
        self.file = TFLiteFile(content)
        self._schema = schema()
        self._model = whole(self.file)
        # The names of a signature would have to follow every change; runners here go by tensor index.
        self._model.signatureDefs = None
        self._graph = self.file.graphs[0]
        self._ops: list[Any] = list(self._graph.operators)
        self._size = len(self._graph.tensors)

    def pack(self) -> bytes:
        """The changed file."""
        self._graph.operators = self._ops
        return pack(self._model)

    def _append_like(self, tensor: int, name: str) -> int:
        """A new tensor of the shape and type of another one, computed or fed."""
        made = copy.copy(self._graph.tensors[tensor])
        made.name, made.buffer, made.isVariable = name, 0, False
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def set_outputs(self, tensors: Sequence[int]) -> None:
        """Make these the outputs, and drop the ops and the appended inputs that none of them needs."""
        self._graph.outputs = list(tensors)
        needed = set(tensors)
        kept = []
        for op in reversed(self._ops):
            if needed & {int(i) for i in op.outputs}:
                kept.append(op)
                needed |= {int(i) for i in op.inputs if i >= 0}
        self._ops = kept[::-1]
        self._graph.inputs = [int(i) for i in self._graph.inputs if i < self._size or i in needed]

    @property
    def inputs(self) -> list[int]:
        """The inputs of the graph, the file's own first."""
        return [int(i) for i in self._graph.inputs]

    def feed(self, reads: Mapping[Read, int]) -> dict[int, int]:
        """Let ops read new inputs of the graph instead of what other ops compute.

        Args:
            reads: for a read a key; reads of one tensor with equal keys get one input.

        Returns:
            The new input tensor of each key.
        """
        made: dict[int, int] = {}
        for (op, slot), key in reads.items():
            tensor = int(self._ops[op].inputs[slot])
            if key not in made:
                made[key] = self._append_like(tensor, f"fed/{key}")
            self._rewire(op, slot, made[key])
        self._graph.inputs = [*self.inputs, *made.values()]
        return made

    def _rewire(self, op: int, slot: int, tensor: int) -> None:
        inputs = [int(i) for i in self._ops[op].inputs]
        inputs[slot] = tensor
        self._ops[op].inputs = inputs

    def inject(self, points: Mapping[int, tuple[int, Iterable[Read]]], outputs: Mapping[int, int]) -> dict[int, int]:
        """Put ADD ops behind tensors, whose second side is a new input: zeros change nothing.

        Args:
            points: for a key the (float32) tensor and the reads that see the sum.
            outputs: for an output of the graph the key whose sum replaces it.

        Returns:
            The new input tensor of each key, float32, in the tensor's shape.
        """
        made: dict[int, int] = {}
        sums: dict[int, int] = {}
        adds: dict[int, list[Any]] = {}
        producers = {int(tensor): place for place, op in enumerate(self._ops) for tensor in op.outputs}
        for key, (tensor, reads) in points.items():
            made[key] = self._append_like(tensor, f"error/{key}")
            sums[key] = self._append_like(tensor, f"sum/{key}")
            adds.setdefault(producers.get(tensor, -1), []).append(self._add(tensor, made[key], sums[key]))
            for op, slot in reads:
                self._rewire(op, slot, sums[key])
        self._graph.outputs = [sums[outputs[int(t)]] if int(t) in outputs else int(t) for t in self._graph.outputs]
        self._graph.inputs = [*self.inputs, *made.values()]
        ops = [*adds.get(-1, ())]
        for place, op in enumerate(self._ops):
            ops += [op, *adds.get(place, ())]
        self._ops = ops
        return made

    @property
    def outputs(self) -> list[int]:
        """The outputs of the graph."""
        return [int(i) for i in self._graph.outputs]

    def _add(self, first: int, second: int, result: int) -> Any:
        op = self._schema.OperatorT()
        op.opcodeIndex = self._code(self._schema.BuiltinOperator.ADD)
        op.inputs, op.outputs = [first, second], [result]
        op.builtinOptionsType = self._schema.BuiltinOptions.AddOptions
        op.builtinOptions = self._schema.AddOptionsT()
        return op

    def _code(self, number: int) -> int:
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
                return index
        made = self._schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = number
        codes.append(made)
        return len(codes) - 1

    def extract(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Leave only the ops between these tensors, and forget the tensors and buffers that they do not use.

        Raises:
            ValueError: the outputs need more than these inputs.
        """
        given = set(inputs)
        needed = set(outputs) - given
        kept = []
        for op in reversed(self._ops):
            made = {int(i) for i in op.outputs}
            if needed & made:
                kept.append(op)
                needed = (needed - made) | ({int(i) for i in op.inputs if i >= 0} - given)
        computed = [i for i in needed if self.file.data(0, i) is None and not self._graph.tensors[i].isVariable]
        if computed:
            names = ", ".join(str(self._graph.tensors[i].name) for i in computed)
            raise ValueError(f"the outputs also need {names}")
        self._ops = kept[::-1]
        self._compact(inputs, outputs)

    def _compact(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Renumber the primary subgraph's tensors and all buffers to those in use."""
        used = {int(i) for op in self._ops for part in (op.inputs, op.outputs) for i in part if i >= 0}
        used |= {int(i) for op in self._ops for i in (op.intermediates if op.intermediates is not None else ())}
        order = sorted(used | set(inputs) | set(outputs))
        place = {old: new for new, old in enumerate(order)} | {-1: -1}
        for op in self._ops:
            for part in ("inputs", "outputs", "intermediates"):
                listed = getattr(op, part)
                if listed is not None:
                    setattr(op, part, [place[int(i)] for i in listed])
        self._graph.tensors = [self._graph.tensors[old] for old in order]
        self._graph.inputs, self._graph.outputs = [place[i] for i in inputs], [place[i] for i in outputs]
        if len(self.file.graphs) > 1 and not any(
            hasattr(op.builtinOptions, name) for op in self._ops for name in ("bodySubgraphIndex", "thenSubgraphIndex")
        ):
            self._model.subgraphs = [self._graph]
        numbers: dict[int, int] = {0: 0}
        for graph in self._model.subgraphs:
            for tensor in graph.tensors:
                tensor.buffer = numbers.setdefault(tensor.buffer, len(numbers))
        self._model.buffers = [self._model.buffers[old] for old in numbers]
        self._model.metadata = self._model.metadataBuffer = None

    def sign(self, key: str) -> None:
        """Give the file a signature: its inputs are ``input_0``, ..., its outputs ``output_0``, ... in order."""
        signature = self._schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, 0
        for kind, indices in (("inputs", self.inputs), ("outputs", self.outputs)):
            listed = []
            for place, index in enumerate(indices):
                named = self._schema.TensorMapT()
                named.name, named.tensorIndex = f"{kind[:-1]}_{place}", index
                listed.append(named)
            setattr(signature, kind, listed)
        self._model.signatureDefs = [signature]
