"""Defects of a ``.tflite`` file: what a wrong converter, quantizer, exporter or a slip of the hand would leave.

`plant` is a hop: it takes the file of the hop before it and leaves the same file with one defect. It runs in a child
process, from a copy of this file alone. `planted` does the same to bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ocr_conformance.diagnose.surgery import pack, whole
from ocr_conformance.inspect.tflite import TFLiteFile, schema
from ocr_conformance.job import Job

Array = Any


class Planter:
    """A file that can be spoilt: its primary subgraph, or the one that is named."""

    def __init__(self, content: bytes, subgraph: int = 0) -> None:
        self.file = TFLiteFile(content)
        self.schema = schema()
        self.model = whole(self.file)
        self.subgraph = subgraph
        self.graph = self.file.graphs[subgraph]
        self.graph.operators = list(self.graph.operators)
        self.rng = np.random.default_rng(0)

    # --- finding ---

    def place(self, at: str | int) -> int:
        """Where an op stands, by its place or by ``KIND:N``: the Nth of its kind, from the end where N is negative."""
        if isinstance(at, int):
            return at
        kind, _, number = at.partition(":")
        places = [place for place, op in enumerate(self.file.ops[self.subgraph]) if op.name == kind]
        return places[int(number)]

    def op(self, at: str | int) -> Any:
        return self.graph.operators[self.place(at)]

    def input(self, at: str | int, slot: int) -> Any:
        """The tensor that an op reads."""
        return self.graph.tensors[self.op(at).inputs[slot]]

    def output(self, at: str | int) -> Any:
        """The tensor that an op writes."""
        return self.graph.tensors[self.op(at).outputs[0]]

    def _stored(self, at: str | int, slot: int) -> tuple[Any, int]:
        """The op and the slot that a constant is really read by: float16 ones have a DEQUANTIZE before them."""
        op = self.op(at)
        for place, other in enumerate(self.file.ops[self.subgraph]):
            if other.name == "DEQUANTIZE" and other.outputs == [int(op.inputs[slot])]:
                return self.graph.operators[place], 0
        return op, slot

    def array(self, at: str | int, slot: int) -> Array:
        """A constant input of an op."""
        op, slot = self._stored(at, slot)
        return self.file.array(self.subgraph, op.inputs[slot]).copy()

    # --- changing ---

    def buffer(self, value: Array) -> int:
        made = self.schema.BufferT()
        made.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.model.buffers.append(made)
        return len(self.model.buffers) - 1

    def put(self, at: str | int, slot: int, value: Array) -> None:
        """Replace a constant input, for this op alone."""
        op, slot = self._stored(at, slot)
        tensor = copy.copy(self.graph.tensors[op.inputs[slot]])
        tensor.buffer = self.buffer(value)
        self.graph.tensors.append(tensor)
        inputs = list(op.inputs)
        inputs[slot] = len(self.graph.tensors) - 1
        op.inputs = inputs

    def tensor(self, shape: Sequence[int], name: str, value: Array = None, *, variable: bool = False) -> int:
        """A new float32 tensor, or one of the value's type, computed or constant."""
        types = {"float32": "FLOAT32", "int32": "INT32", "int8": "INT8"}
        made = self.schema.TensorT()
        made.shape, made.name, made.isVariable, made.buffer = list(shape), name, variable, 0
        made.type = getattr(self.schema.TensorType, types[str(value.dtype) if value is not None else "float32"])
        if value is not None:
            made.buffer = self.buffer(value)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def constant(self, value: Array, name: str = "planted/constant") -> int:
        return self.tensor(value.shape, name, value)

    def code(self, kind: str, version: int = 1) -> int:
        """An operator code: a builtin op's, or a custom one's where there is no builtin of the name."""
        made = self.schema.OperatorCodeT()
        number = getattr(self.schema.BuiltinOperator, kind, None)
        if number is None:
            number, made.customCode = self.schema.BuiltinOperator.CUSTOM, kind
        made.builtinCode, made.deprecatedBuiltinCode, made.version = number, min(number, 127), version
        self.model.operatorCodes.append(made)
        return len(self.model.operatorCodes) - 1

    def insert(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: str = "",
        *,
        first: bool = False,
        **settings: Any,
    ) -> int:
        """Add an op behind all others (or before them); the tensor that it writes, float32."""
        written = self.tensor(shape, f"planted/{kind.lower()}")
        self.run(kind, inputs, [written], options, first=first, **settings)
        return written

    def run(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        *,
        first: bool = False,
        **settings: Any,
    ) -> None:
        """Add an op that writes these tensors."""
        op = self.schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = self.code(kind), list(inputs), list(outputs)
        if options:
            op.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            op.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in settings.items():
                setattr(op.builtinOptions, name, value)
        self.graph.operators.insert(0 if first else len(self.graph.operators), op)

    @property
    def last(self) -> int:
        """The first output of the graph."""
        return int(self.graph.outputs[0])

    def shape(self, tensor: int) -> list[int]:
        return [int(size) for size in self.graph.tensors[tensor].shape]

    def give(self, tensor: int) -> None:
        """Make a tensor the graph's first output, in its signature too; it takes the name."""
        before = self.last
        self.graph.tensors[tensor].name = self.graph.tensors[before].name
        self.graph.tensors[before].name = b"planted/before"
        self.graph.outputs = [tensor, *list(self.graph.outputs)[1:]]
        for signature in self.model.signatureDefs or []:
            for named in signature.outputs:
                if named.tensorIndex == before:
                    named.tensorIndex = tensor

    def pack(self) -> bytes:
        return pack(self.model)


Defect = Callable[[Planter, Any, float], None]
"""Spoils a file at an op (where the defect has a place), by so much (where it has a size)."""


# --- weights and biases -----------------------------------------------------------------------------------------------


def nothing(file: Planter, at: Any, size: float) -> None:
    """No defect: the file is only written anew."""


def perturbed(file: Planter, at: Any, size: float) -> None:
    """Each weight of an op is off by so much of itself, at random."""
    value = file.array(at, 1)
    noisy = value.astype(np.float64) * (1 + size * file.rng.standard_normal(value.shape))
    if value.dtype.kind == "i":
        noisy = np.clip(np.rint(noisy), -127, 127)
    file.put(at, 1, noisy.astype(value.dtype))


def bias_lost(file: Planter, at: Any, size: float) -> None:
    file.put(at, 2, np.zeros_like(file.array(at, 2)))


def bias_saturated(file: Planter, at: Any, size: float) -> None:
    """Integer biases of every fourth channel overflowed."""
    value = file.array(at, 2)
    value[::4] = np.iinfo(value.dtype).max
    file.put(at, 2, value)


def batch_norm(file: Planter, at: Any, size: float) -> None:
    """The scale of a batch normalisation is folded into the weights twice, where it is 1 give or take ``size``."""
    value = file.array(at, 1)
    scale = np.exp(size * file.rng.standard_normal(len(value))).reshape(-1, *[1] * (value.ndim - 1))
    file.put(at, 1, (value * scale).astype(value.dtype))


def kernels_turned(file: Planter, at: Any, size: float) -> None:
    """A convolution in place of a cross-correlation: kernels are turned by 180 degrees."""
    file.put(at, 1, np.ascontiguousarray(file.array(at, 1)[:, ::-1, ::-1]))


def channels_swapped(file: Planter, at: Any, size: float) -> None:
    """The first layer takes blue for red."""
    file.put(at, 1, np.ascontiguousarray(file.array(at, 1)[..., ::-1]))


def classes_off_by_one(file: Planter, at: Any, size: float) -> None:
    """The classes of the last layer are shifted by one: the blank comes first, not last."""
    for slot in (1, 2):
        file.put(at, slot, np.roll(file.array(at, slot), 1, axis=0))


def classes_exchanged(file: Planter, at: Any, size: float) -> None:
    """Two rows of the last layer's weights are exchanged."""
    value = file.array(at, 1)
    value[[3, 7]] = value[[7, 3]]
    file.put(at, 1, value)


def outputs_exchanged(file: Planter, at: Any, size: float) -> None:
    """The two channels of the last layer are exchanged."""
    for slot in (1, 2):
        file.put(at, slot, np.ascontiguousarray(file.array(at, slot)[::-1]))


def channel_dead(file: Planter, at: Any, size: float) -> None:
    """The last channel of the last layer is always 0."""
    for slot in (1, 2):
        value = file.array(at, slot)
        value[-1] = 0
        file.put(at, slot, value)


def weights_missing(file: Planter, at: Any, size: float) -> None:
    """The weights are not in the file: zeros are filled in when it runs."""
    op = file.op(at)
    shape = file.shape(op.inputs[1])
    zeros = file.insert(
        "FILL", [file.constant(np.array(shape, np.int32)), file.constant(np.array(0, np.float32))], shape, first=True
    )
    lost = file.graph.tensors[op.inputs[1]]
    file.model.buffers[lost.buffer].data = None
    lost.buffer = 0
    op.inputs = [op.inputs[0], zeros, *list(op.inputs)[2:]]


# --- the graph --------------------------------------------------------------------------------------------------------


def activation_lost(file: Planter, at: Any, size: float) -> None:
    """The fused activation is dropped."""
    file.op(at).builtinOptions.fusedActivationFunction = file.schema.ActivationFunctionType.NONE


def pooling_mean(file: Planter, at: Any, size: float) -> None:
    """The mean in place of the maximum."""
    file.op(at).opcodeIndex = file.code("AVERAGE_POOL_2D", 2)


def gates_exchanged(file: Planter, at: Any, size: float) -> None:
    """Two gates of a fused LSTM are exchanged: forget and cell, of the input's weights."""
    inputs = list(file.op(at).inputs)
    inputs[2], inputs[3] = inputs[3], inputs[2]
    file.op(at).inputs = inputs


def sides_exchanged(file: Planter, at: Any, size: float) -> None:
    """The two sides of a concatenation are exchanged: forward and backward."""
    file.op(at).inputs = list(file.op(at).inputs)[::-1]


def reverse_lost(file: Planter, at: Any, size: float) -> None:
    """The backward LSTM reads forward: its reversal is along an axis of length 1."""
    file.put(at, 1, np.array([1], np.int32))


def softmax_lost(file: Planter, at: Any, size: float) -> None:
    """Logits come out, not probabilities."""
    op = file.op(at)
    op.opcodeIndex = file.code("RESHAPE")
    op.builtinOptionsType, op.builtinOptions = 0, None
    op.inputs = [op.inputs[0], file.constant(np.array(file.shape(file.last), np.int32))]


def constant_output(file: Planter, at: Any, size: float) -> None:
    """Whatever goes in, the same comes out."""
    shape = file.shape(file.last)
    nothing_left = file.insert("MUL", [file.last, file.constant(np.zeros(1, np.float32))], shape, "MulOptions")
    file.give(file.insert("ADD", [nothing_left, file.constant(np.full(1, 0.1, np.float32))], shape, "AddOptions"))


def nan(file: Planter, at: Any, size: float) -> None:
    """NaN for images that are on average brighter than ``size``: 0 times the root of what is negative then."""
    image = int(file.graph.inputs[0])
    axes = file.constant(np.arange(len(file.shape(image)), dtype=np.int32))
    mean = file.insert("MEAN", [image, axes], [1], "ReducerOptions", keepDims=False)
    left = file.insert("SUB", [file.constant(np.array([size], np.float32)), mean], [1], "SubOptions")
    root = file.insert("SQRT", [left], [1])
    zero = file.insert("MUL", [root, file.constant(np.zeros(1, np.float32))], [1], "MulOptions")
    file.give(file.insert("ADD", [file.last, zero], file.shape(file.last), "AddOptions"))


def steps_dropped(file: Planter, at: Any, size: float) -> None:
    """The first time steps are cut off."""
    shape = file.shape(file.last)
    begin = [0, int(size), *[0] * (len(shape) - 2)]
    left = [shape[0], shape[1] - int(size), *shape[2:]]
    file.give(
        file.insert(
            "SLICE", [file.last, file.constant(np.array(begin, np.int32)), file.constant(np.array(left, np.int32))],
            left, "SliceOptions",
        )
    )  # fmt: skip


def steps_shifted(file: Planter, at: Any, size: float) -> None:
    """Everything comes so many steps too late along axis 1, the last ones first."""
    _rolled(file, 1, int(size))


def columns_shifted(file: Planter, at: Any, size: float) -> None:
    """The map is so many cells too far to the right, and begins again at the left."""
    _rolled(file, 2, int(size))


def _rolled(file: Planter, axis: int, steps: int) -> None:
    shape = file.shape(file.last)
    order = file.constant(np.roll(np.arange(shape[axis], dtype=np.int32), steps))
    file.give(file.insert("GATHER", [file.last, order], shape, "GatherOptions", axis=axis))


def rows_and_columns_swapped(file: Planter, at: Any, size: float) -> None:
    """x and y of the (square) map are exchanged."""
    order = file.constant(np.array([0, 2, 1, 3], np.int32))
    file.give(file.insert("TRANSPOSE", [file.last, order], file.shape(file.last), "TransposeOptions"))


def corner_blind(file: Planter, at: Any, size: float) -> None:
    """The map is 0 in its lowest rows: a share of ``size``."""
    shape = file.shape(file.last)
    mask = np.ones((1, shape[1], 1, 1), np.float32)
    mask[:, round(shape[1] * (1 - size)) :] = 0
    file.give(file.insert("MUL", [file.last, file.constant(mask)], shape, "MulOptions"))


def fainter(file: Planter, at: Any, size: float) -> None:
    """All that comes out is smaller, by a share of ``size``."""
    factor = file.constant(np.full(1, 1 - size, np.float32))
    file.give(file.insert("MUL", [file.last, factor], file.shape(file.last), "MulOptions"))


def stateful(file: Planter, at: Any, size: float) -> None:
    """A share of ``size`` of what came out before is added, by a variable tensor that a reset clears."""
    shape = file.shape(file.last)
    count = int(np.prod(shape))
    flat = file.insert(
        "RESHAPE", [file.last, file.constant(np.array([1, count], np.int32))], [1, count], "ReshapeOptions"
    )
    feature = file.constant(np.eye(count, dtype=np.float32))
    time = file.constant(np.tile(np.array([[size, 1.0]], np.float32), (count, 1)))
    state = file.tensor([1, 2 * count], "planted/state", variable=True)
    mixed = file.insert("SVDF", [flat, feature, time, -1, state], [1, count], "SVDFOptions", rank=1)
    back = [mixed, file.constant(np.array(shape, np.int32))]
    file.give(file.insert("RESHAPE", back, shape, "ReshapeOptions"))


def late(file: Planter, at: Any, size: float) -> None:
    """Each invoke gives what the one before it should have given: a variable that no reset clears."""
    shape = file.shape(file.last)
    main, start = file.graph, file.schema.SubGraphT()
    start.name, start.tensors, start.operators, start.inputs, start.outputs = b"planted", [], [], [], []
    file.graph = start
    zeros = file.constant(np.zeros(shape, np.float32))
    file.run("ASSIGN_VARIABLE", [_handle(file), zeros], [])
    file.graph = main
    file.model.subgraphs.append(start)
    before = file.last
    read = file.insert("READ_VARIABLE", [_handle(file)], shape)
    file.run("ASSIGN_VARIABLE", [int(file.graph.operators[-2].outputs[0]), before], [])
    file.run("CALL_ONCE", [], [], "CallOnceOptions", first=True, initSubgraphIndex=len(file.model.subgraphs) - 1)
    file.give(read)


def _handle(file: Planter) -> int:
    """The variable of the graph at hand."""
    handle = file.tensor([], "planted/handle")
    file.graph.tensors[handle].type = file.schema.TensorType.RESOURCE
    file.run("VAR_HANDLE", [], [handle], "VarHandleOptions", container="", sharedName="planted")
    return handle


def random(file: Planter, at: Any, size: float) -> None:
    """Noise of ``size``, another one in each interpreter and invoke."""
    shape = file.shape(file.last)
    noise = file.insert("RANDOM_UNIFORM", [file.constant(np.array(shape, np.int32))], shape, "RandomOptions")
    scaled = file.insert("MUL", [noise, file.constant(np.full(1, size, np.float32))], shape, "MulOptions")
    file.give(file.insert("ADD", [file.last, scaled], shape, "AddOptions"))


def slower(file: Planter, at: Any, size: float) -> None:
    """All ops are run ``size`` times over, and the mean of what comes out is given."""
    graph, last = file.graph, file.last
    original = list(graph.operators)
    total = last
    for _ in range(int(size) - 1):
        new: dict[int, int] = {}
        for op in original:
            twin = copy.copy(op)
            twin.inputs = [new.get(int(i), int(i)) for i in op.inputs]
            for tensor in op.outputs:
                graph.tensors.append(copy.copy(graph.tensors[int(tensor)]))
                new[int(tensor)] = len(graph.tensors) - 1
            twin.outputs = [new[int(i)] for i in op.outputs]
            graph.operators.append(twin)
        total = file.insert("ADD", [total, new[last]], file.shape(last), "AddOptions")
    mean = file.constant(np.full(1, 1 / int(size), np.float32))
    file.give(file.insert("MUL", [total, mean], file.shape(last), "MulOptions"))


def memory(file: Planter, at: Any, size: float) -> None:
    """``size`` MB more are filled and summed in each invoke: an intermediate that should have been fused."""
    rows = [1, int(size * 1e6) // 4]
    shape = file.constant(np.array(rows, np.int32))
    filled = file.insert("FILL", [shape, file.constant(np.array(0, np.float32))], rows)
    total = file.insert(
        "SUM", [filled, file.constant(np.array([0, 1], np.int32))], [1], "ReducerOptions", keepDims=False
    )
    file.give(file.insert("ADD", [file.last, total], file.shape(file.last), "AddOptions"))


def larger(file: Planter, at: Any, size: float) -> None:
    """A share of ``size`` more bytes that nothing reads."""
    file.buffer(np.zeros(int(len(file.file.content) * size), np.uint8))


def unused_op(file: Planter, at: Any, size: float) -> None:
    """An op of kind ``at`` in a subgraph that nothing calls: an app must link it all the same."""
    _spare_graph(file, at)


def foreign_op(file: Planter, at: Any, size: float) -> None:
    """An op of kind ``at`` behind the last one."""
    file.give(file.insert(at, [file.last], file.shape(file.last)))


def _spare_graph(file: Planter, kind: str) -> None:
    graph = file.schema.SubGraphT()
    graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = b"planted", [], [], [0], [1]
    main, file.graph = file.graph, graph
    image = file.tensor([1, 4], "planted/in")
    file.insert(kind, [image], [1, 4])
    file.graph = main
    file.model.subgraphs.append(graph)


# --- the interface ----------------------------------------------------------------------------------------------------


def declared_shape(file: Planter, at: Any, size: float) -> None:
    """The output is declared shorter along axis 1 than it is."""
    tensor = file.graph.tensors[file.last]
    tensor.shape = [int(tensor.shape[0]), int(size), *[int(n) for n in tensor.shape[2:]]]


def names_lost(file: Planter, at: Any, size: float) -> None:
    """No signature, and the tensors have a converter's numbers for names."""
    file.model.signatureDefs = None
    for tensor in (*file.graph.inputs, *file.graph.outputs):
        file.graph.tensors[int(tensor)].name = f"tensor_{tensor}".encode()


def names_exchanged(file: Planter, at: Any, size: float) -> None:
    """Two outputs go by each other's names."""
    for signature in file.model.signatureDefs or []:
        first, second = signature.outputs[:2]
        first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex
    one, two = (file.graph.tensors[int(i)] for i in list(file.graph.outputs)[:2])
    one.name, two.name = two.name, one.name


# --- quantization -----------------------------------------------------------------------------------------------------


def scale_off(file: Planter, at: Any, size: float) -> None:
    """What an op gives has ``size`` times its scale."""
    quantization = copy.copy(file.output(at).quantization)
    quantization.scale = [float(each) * size for each in quantization.scale]
    file.output(at).quantization = quantization


def weight_scale_halved(file: Planter, at: Any, size: float) -> None:
    """A share of ``size`` of the channels of the weights, at least one, has half its scale."""
    quantization = copy.copy(file.input(at, 1).quantization)
    scale = np.array(quantization.scale, np.float32)
    scale[: max(1, round(size * len(scale)))] /= 2
    quantization.scale = scale
    file.input(at, 1).quantization = quantization


def zero_point_shifted(file: Planter, at: Any, size: float) -> None:
    """The zero point of what an op gives is off by so many steps."""
    quantization = copy.copy(file.output(at).quantization)
    quantization.zeroPoint = [int(each) + int(size) for each in quantization.zeroPoint]
    file.output(at).quantization = quantization


def input_scale(file: Planter, at: Any, size: float) -> None:
    """The input's scale is too large by a share of ``size``: an app fills it with numbers that are too small."""
    tensor = file.graph.tensors[int(file.graph.inputs[0])]
    quantization = copy.copy(tensor.quantization)
    quantization.scale = [float(each) * (1 + size) for each in quantization.scale]
    tensor.quantization = quantization


def per_tensor(file: Planter, at: Any, size: float) -> None:
    """One scale for all channels of the weights of every convolution, as old quantizers have it."""
    for place, op in enumerate(file.file.ops[file.subgraph]):
        if op.name != "CONV_2D" or file.file.dtype(file.subgraph, op.inputs[1]) != "INT8":
            continue
        tensor = file.input(place, 1)
        scales = np.array(tensor.quantization.scale, np.float64)
        weights = file.array(place, 1) * scales.reshape(-1, 1, 1, 1)
        scale = float(np.abs(weights).max() / 127)
        quantization = copy.copy(tensor.quantization)
        quantization.scale, quantization.zeroPoint = [scale], [0]
        file.put(place, 1, np.rint(weights / scale).astype(np.int8))
        file.input(place, 1).quantization = quantization
        if file.file.dtype(file.subgraph, op.inputs[2]) == "INT32":
            bias = file.input(place, 2)
            given = float(file.input(place, 0).quantization.scale[0])
            values = file.array(place, 2) * np.array(bias.quantization.scale, np.float64)
            quantization = copy.copy(bias.quantization)
            quantization.scale, quantization.zeroPoint = [given * scale], [0]
            file.put(place, 2, np.rint(values / (given * scale)).astype(np.int32))
            file.input(place, 2).quantization = quantization


def planted(content: bytes, defect: str, at: str | int | None = None, size: float = 0.0, subgraph: int = 0) -> bytes:
    """The file with one defect, by the name of its function."""
    file = Planter(content, subgraph)
    spoil: Defect = globals()[defect]
    spoil(file, at, size)
    return file.pack()


def sums_by_threads(job: Job) -> dict[str, Any]:
    """`litert.repeat` on a runtime whose sums depend on the number of threads: no file that was tried does that."""
    from ocr_conformance.runtime import litert

    class Session(litert.Session):
        def __init__(self, path: Path, *, threads: int, **more: Any) -> None:
            self.off = 0.001 * (threads - 1)
            super().__init__(path, threads=threads, **more)

        def read(self) -> Any:
            return {name: value + np.float32(self.off) for name, value in super().read().items()}

    litert.Session = Session  # type: ignore[misc]
    return litert.repeat(job)


def given(job: Job) -> dict[str, Any]:
    """A hop: the file that was made before. Params: ``path``; ``sha256``, for the key."""
    job.stage("convert")
    (job.out / "model.tflite").write_bytes(Path(job.params["path"]).read_bytes())
    return {}


def plant(job: Job) -> dict[str, Any]:
    """A hop. Params: ``defect``, ``at``, ``size``."""
    job.stage("convert")
    content = (job.inputs["previous"] / "model.tflite").read_bytes()
    spoilt = planted(content, job.params["defect"], job.params["at"], job.params["size"])
    (job.out / "model.tflite").write_bytes(spoilt)
    return {}
