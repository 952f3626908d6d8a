"""Plant one defect in a ``.tflite`` file: what a wrong converter, quantizer or a slip of the hand would leave.

``python tests/diagnose/plant.py FILE.tflite DEFECT PLACE OUTPUT.tflite`` does it by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ocr_conformance.inspect.tflite import TFLiteFile, schema

Defect = Callable[["Plant"], None]


class Plant:
    """One op of a file, and what it takes to spoil it."""

    def __init__(self, content: bytes, place: int, subgraph: int = 0) -> None:
        self.file = TFLiteFile(content)
        self.model = self.file.model
        self.graph = self.file.graphs[subgraph]
        self.subgraph = subgraph
        self.op = self.graph.operators[place]
        self.rng = np.random.default_rng(place)

    def array(self, slot: int) -> Any:
        """A constant input of the op."""
        return self.file.array(self.subgraph, self.op.inputs[slot]).copy()

    def put(self, slot: int, value: Any) -> None:
        """Replace a constant input, for this op alone."""
        tensor = self.graph.tensors[self.op.inputs[slot]]
        buffer = schema().BufferT()
        buffer.data = np.frombuffer(value.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1

    def output(self) -> Any:
        """The quantization of what the op gives."""
        return self.graph.tensors[self.op.outputs[0]].quantization

    def code(self, number: int) -> int:
        """An operator code of the model's list."""
        made = schema().OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = number
        made.version = 2
        self.model.operatorCodes.append(made)
        return len(self.model.operatorCodes) - 1

    def pack(self) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def weights(plant: Plant) -> None:
    """The op's weights are a little off."""
    value = plant.array(1)
    plant.put(1, value + 0.5 * value.std() * plant.rng.standard_normal(value.shape).astype(np.float32))


def bias(plant: Plant) -> None:
    """The bias is lost."""
    plant.put(2, np.zeros_like(plant.array(2)))


def saturated_bias(plant: Plant) -> None:
    """Biases of some channels overflowed."""
    value = plant.array(2)
    value[::4] = np.iinfo(np.int32).max
    plant.put(2, value)


def activation(plant: Plant) -> None:
    """The fused activation is dropped."""
    plant.op.builtinOptions.fusedActivationFunction = schema().ActivationFunctionType.NONE


def pooling(plant: Plant) -> None:
    """The mean instead of the maximum."""
    plant.op.opcodeIndex = plant.code(schema().BuiltinOperator.AVERAGE_POOL_2D)


def gates(plant: Plant) -> None:
    """Two gates of a fused LSTM are exchanged: forget and cell, of the input's weights."""
    inputs = list(plant.op.inputs)
    inputs[2], inputs[3] = inputs[3], inputs[2]
    plant.op.inputs = inputs


def order(plant: Plant) -> None:
    """The two sides of a concatenation are exchanged."""
    plant.op.inputs = list(plant.op.inputs)[::-1]


def classes(plant: Plant) -> None:
    """Two rows of the last layer are exchanged."""
    value = plant.array(1)
    value[[3, 7]] = value[[7, 3]]
    plant.put(1, value)


def scale(plant: Plant) -> None:
    """The output has the scale of another tensor: eight times too large."""
    plant.output().scale = [float(each) * 8 for each in plant.output().scale]


def zero_point(plant: Plant) -> None:
    """The zero point is off: the upper half saturates."""
    plant.output().zeroPoint = [60]


def weight_scale(plant: Plant) -> None:
    """The scales of every other channel of the weights are four times too large."""
    quantization = plant.graph.tensors[plant.op.inputs[1]].quantization
    quantization.scale = [float(each) * (4 if index % 2 else 1) for index, each in enumerate(quantization.scale)]


DEFECTS: dict[str, Defect] = {
    each.__name__: each
    for each in (weights, bias, saturated_bias, activation, pooling, gates, order, classes, scale, zero_point,
                 weight_scale)
}  # fmt: skip


def plant(content: bytes, defect: str, place: int, subgraph: int = 0) -> bytes:
    """The file with one defect in one op."""
    spoilt = Plant(content, place, subgraph)
    DEFECTS[defect](spoilt)
    return spoilt.pack()


if __name__ == "__main__":
    source, name, number, target = sys.argv[1:]
    Path(target).write_bytes(plant(Path(source).read_bytes(), name, int(number)))
