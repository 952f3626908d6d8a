"""What a ``.tflite`` file says of itself: ops, types, signatures, weights, multiply-accumulates.

The flatbuffer is read with the schema classes that come with the runtime; TensorFlow itself is not imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocr_conformance.job import Job

ARTIFACT = "model.tflite"
_IDENTIFIER = b"TFL3"  # tensorflow/compiler/mlir/lite/schema/schema.fbs: file_identifier
_OVERLAP = 16
"""Parts that share bytes, such as equal names, are allowed; a file whose parts are all one and the same is not."""
_MIN_RUNTIME = "min_runtime_version"
_OPTIONS = ("axis", "beta", "ellipsisMask", "fusedActivationFunction", "keepNumDims", "newAxisMask", "shrinkAxisMask",
            "weightsFormat")  # fmt: skip
"""Options of ops that `ocr_conformance.targets` has rules on, as schema_py_generated names them."""

_FLOATS = frozenset({"FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64"})
_INTEGERS = frozenset({"INT2", "INT4", "UINT4", "INT8", "UINT8", "INT16"})
_SIXTEEN = frozenset({"INT16"})
_NUMPY = frozenset({"BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FLOAT16", "FLOAT32", "FLOAT64"})
_INT32_LIMITS = (-(2**31), 2**31 - 1)

# Positions of weight matrices among the inputs of fused LSTMs: input, recurrent and projection weights per direction,
# for the bidirectional one also those of the auxiliary input.
# tensorflow/lite/kernels/{lstm_shared.h,unidirectional_sequence_lstm.cc,bidirectional_sequence_lstm.cc}
_LSTM_MATRICES = (*range(1, 9), 16)
_BIDIRECTIONAL_MATRICES = (*range(1, 9), 16, *range(18, 26), 33, *range(40, 48))


def schema() -> Any:
    """The generated schema module, from ``ai-edge-litert`` or from the file inside an installed TensorFlow.

    Raises:
        ImportError: the toolchain has neither.
    """
    if importlib.util.find_spec("ai_edge_litert") is not None:
        from ai_edge_litert import schema_py_generated

        return schema_py_generated
    tensorflow = importlib.util.find_spec("tensorflow")
    for folder in tensorflow.submodule_search_locations or [] if tensorflow is not None else []:
        path = Path(folder) / "lite" / "python" / "schema_py_generated.py"
        spec = importlib.util.spec_from_file_location("ocr_conformance_tflite_schema", path)
        if spec is not None and spec.loader is not None and path.exists():
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError("this toolchain has neither ai-edge-litert nor tensorflow to read a .tflite file with")


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


@dataclass(frozen=True)
class Op:
    """One operator: where it stands, what it is, its tensors' indices and its options."""

    subgraph: int
    name: str
    kind: str
    version: int
    inputs: list[int]
    outputs: list[int]
    options: Any


def _vectors(table: Any, *names: str) -> int:
    return sum(int(getattr(table, f"{name}Length")()) for name in names)


def _sizes(model: Any) -> Iterator[int]:
    """How much a file says that it holds, of all that can be many; a number comes before what it is the number of."""
    yield _vectors(model, "Subgraphs", "OperatorCodes", "Buffers", "Metadata", "MetadataBuffer", "SignatureDefs")
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        yield _vectors(graph, "Tensors", "Operators", "Inputs", "Outputs") + len(graph.Name() or b"")
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            yield _vectors(tensor, "Shape", "ShapeSignature") + len(tensor.Name() or b"")
            if (parameters := tensor.Quantization()) is not None:
                yield _vectors(parameters, "Scale", "ZeroPoint", "Min", "Max")
        for op in map(graph.Operators, range(graph.OperatorsLength())):
            yield _vectors(op, "Inputs", "Outputs", "Intermediates", "MutatingVariableInputs", "CustomOptions")
    for buffer in map(model.Buffers, range(model.BuffersLength())):
        yield buffer.DataLength()
    for code in map(model.OperatorCodes, range(model.OperatorCodesLength())):
        yield len(code.CustomCode() or b"")
    for entry in map(model.Metadata, range(model.MetadataLength())):
        yield len(entry.Name() or b"")
    for signature in map(model.SignatureDefs, range(model.SignatureDefsLength())):
        yield _vectors(signature, "Inputs", "Outputs") + len(signature.SignatureKey() or b"")


def _hold_to_its_size(model: Any, size: int) -> None:
    """Refuse a file whose parts are together much larger than itself: they lie in each other, or outside.

    Raises:
        ValueError: they are.
    """
    total = 0
    for each in _sizes(model):
        total += each
        if total > _OVERLAP * size:
            raise ValueError(f"its parts take more than {_OVERLAP} times its {size} bytes")


class TFLiteFile:
    """A parsed file.

    Raises:
        ValueError, struct.error, LookupError, TypeError, AttributeError, OverflowError: it is damaged; the generated
            readers check nothing, and an offset into nowhere ends in any of these.
    """

    def __init__(self, content: bytes) -> None:
        found = schema()
        _hold_to_its_size(found.Model.GetRootAs(content, 0), len(content))
        self.types = _names(found.TensorType)
        self.builtins = _names(found.BuiltinOperator)
        self.model = found.ModelT.InitFromPackedBuf(content, 0)
        self.content = content
        self.graphs: list[Any] = list(self.model.subgraphs or [])
        self.ops = [list(self._ops(index)) for index in range(len(self.graphs))]

    def _ops(self, subgraph: int) -> Iterator[Op]:
        graph = self.graphs[subgraph]
        for operator in graph.operators if graph.operators is not None else []:
            code = self.model.operatorCodes[operator.opcodeIndex]
            # Codes beyond 127 stand in the newer field, schema.fbs: OperatorCode.
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            name, kind = self.builtins.get(number, f"BUILTIN_{number}"), "builtin"
            if name == "CUSTOM":
                name = _text(code.customCode)
                kind = "flex" if name.startswith("Flex") else "custom"
            options = operator.builtinOptions
            if options is None:
                options = getattr(operator, "builtinOptions2", None)
            inputs = [int(i) for i in operator.inputs] if operator.inputs is not None else []
            outputs = [int(i) for i in operator.outputs] if operator.outputs is not None else []
            if any(not -1 <= i < len(graph.tensors) for i in (*inputs, *outputs)):
                raise IndexError(f"an op of subgraph {subgraph} names a tensor that is not there")
            yield Op(subgraph, name, kind, code.version, inputs, outputs, options)

    def tensor(self, subgraph: int, index: int) -> Any:
        return self.graphs[subgraph].tensors[index]

    def dtype(self, subgraph: int, index: int) -> str:
        return self.types.get(self.tensor(subgraph, index).type, "UNKNOWN")

    def shape(self, subgraph: int, index: int) -> list[int]:
        shape = self.tensor(subgraph, index).shape
        return [int(n) for n in shape] if shape is not None else []

    def shape_signature(self, subgraph: int, index: int) -> list[int]:
        signature = self.tensor(subgraph, index).shapeSignature
        if signature is None or len(signature) == 0:
            return self.shape(subgraph, index)
        return [int(n) for n in signature]

    def data(self, subgraph: int, index: int) -> bytes | None:
        """The tensor's constant bytes, or ``None`` where it is computed."""
        return self.buffer(self.tensor(subgraph, index).buffer)

    def buffer(self, number: int) -> bytes | None:
        """A buffer's bytes; those of files beyond 2 GB stand behind the flatbuffer."""
        if number == 0:  # buffer 0 is empty by convention
            return None
        buffer = self.model.buffers[number]
        if getattr(buffer, "offset", 0) > 1 and getattr(buffer, "size", 0):
            return self.content[buffer.offset : buffer.offset + buffer.size]
        if buffer.data is None or len(buffer.data) == 0:
            return None
        return bytes(buffer.data)

    def array(self, subgraph: int, index: int) -> Any:
        """A constant as a numpy array of the file's own type (integers and floats of 8 to 64 bits, booleans).

        Raises:
            ValueError: it is no constant, or of another type.
        """
        import numpy as np

        data, dtype = self.data(subgraph, index), self.dtype(subgraph, index)
        if data is None or dtype not in _NUMPY:
            raise ValueError(f"tensor {index} is no constant of a numpy type: {dtype}")
        return np.frombuffer(data, dtype.lower()).reshape(self.shape(subgraph, index))

    def constant(self, subgraph: int, index: int) -> int | None:
        """The value of a constant INT32 or INT64 scalar."""
        data = self.data(subgraph, index) if index >= 0 else None
        formats = {("INT32", 4): "<i", ("INT64", 8): "<q"}
        layout = formats.get((self.dtype(subgraph, index), len(data))) if data is not None else None
        return None if layout is None or data is None else int(struct.unpack(layout, data)[0])


def _elements(shape: list[int]) -> int:
    """Number of elements; an unknown size counts as 1."""
    return math.prod(max(n, 1) for n in shape)


def _producer(file: TFLiteFile, subgraph: int, tensor: int) -> Op | None:
    return next((op for op in file.ops[subgraph] if tensor in op.outputs), None)


def trip_count(file: TFLiteFile, loop: Op) -> int | None:
    """How often a WHILE runs, where the file shows it: its condition is ``LESS(counter, limit)``, or several of them
    joined by ``LOGICAL_AND``, its body adds a constant to the counter, and start and limit are constants (the limit may
    be passed through the loop unchanged).

    Returns:
        The smallest bound that can be read, or ``None`` where none can.
    """
    condition, body = loop.options.condSubgraphIndex, loop.options.bodySubgraphIndex
    slots = [int(i) for i in file.graphs[condition].inputs]
    enters = [int(i) for i in file.graphs[body].inputs]
    leaves = [int(i) for i in file.graphs[body].outputs]
    bounds: list[int] = []
    pending = [int(file.graphs[condition].outputs[0])]
    seen: set[int] = set()
    while pending:
        tensor = pending.pop()
        op = _producer(file, condition, tensor)
        if op is None or tensor in seen:
            continue
        seen.add(tensor)
        if op.name == "LOGICAL_AND":
            pending += op.inputs
        elif op.name == "LESS":
            counter, limit = op.inputs
            end = file.constant(condition, limit)
            if end is None and limit in slots:
                slot = slots.index(limit)
                if enters[slot] == leaves[slot]:
                    end = file.constant(loop.subgraph, loop.inputs[slot])
            if end is None or counter not in slots:
                continue
            slot = slots.index(counter)
            start = file.constant(loop.subgraph, loop.inputs[slot])
            step = _step(file, body, enters[slot], leaves[slot])
            if start is not None and step is not None and step > 0:
                bounds.append(max(0, -(-(end - start) // step)))
    return min(bounds, default=None)


def _step(file: TFLiteFile, body: int, enters: int, leaves: int) -> int | None:
    """The constant that a loop body adds to its counter."""
    op = _producer(file, body, leaves)
    if op is None or op.name != "ADD" or enters not in op.inputs:
        return None
    return file.constant(body, op.inputs[1 - op.inputs.index(enters)])


@dataclass
class _Work:
    """Runs of each subgraph in one invoke."""

    runs: dict[int, int]
    loops: list[dict[str, Any]]


def _work(file: TFLiteFile) -> _Work:
    """How often each subgraph runs in one invoke of subgraph 0.

    The body of a WHILE runs `trip_count` times; where that cannot be read, once (and the loop is listed as unknown).
    Both branches of an IF count once: which one runs depends on data.
    """
    order = _callers_first(file)
    place = {subgraph: number for number, subgraph in enumerate(order)}
    work = _Work({0: 1}, [])
    for subgraph in order:
        runs = work.runs[subgraph]
        for op in file.ops[subgraph]:
            trips = trip_count(file, op) if op.name == "WHILE" else None
            if op.name == "WHILE":
                work.loops.append({"subgraph": subgraph, "body": op.options.bodySubgraphIndex, "trips": trips})
            for number, called in enumerate(_calls(file, op)):
                known = 1 if trips is None else trips
                times = (known + 1, known)[number] if op.name == "WHILE" else 1
                if place[called] > place[subgraph]:  # a file whose subgraphs call each other in a circle is broken
                    work.runs[called] = work.runs.get(called, 0) + runs * times
    return work


def _calls(file: TFLiteFile, op: Op) -> list[int]:
    """The subgraphs that an op runs."""
    names = {
        "WHILE": ("condSubgraphIndex", "bodySubgraphIndex"),
        "IF": ("thenSubgraphIndex", "elseSubgraphIndex"),
        "STABLEHLO_COMPOSITE": ("decompositionSubgraphIndex",),
    }.get(op.name, ())
    found = [int(getattr(op.options, name)) for name in names]
    if any(not 0 <= subgraph < len(file.graphs) for subgraph in found):
        raise IndexError(f"{op.name} runs a subgraph that is not there")
    return found


def _callers_first(file: TFLiteFile) -> list[int]:
    """Subgraph 0 and those that it runs, each behind all that run it."""
    done: list[int] = []
    seen = {0}
    stack = [(0, [called for op in file.ops[0] for called in _calls(file, op)])]
    while stack:
        subgraph, left = stack[-1]
        if not left:
            done.append(subgraph)
            stack.pop()
        elif (called := left.pop()) not in seen:
            seen.add(called)
            stack.append((called, [each for op in file.ops[called] for each in _calls(file, op)]))
    return done[::-1]


def _matrix_products(file: TFLiteFile, op: Op) -> list[tuple[int, int, int]] | None:
    """The matrix products of one run of an op as ``(multiply-accumulates, activation tensor, weight tensor)``.

    ``None`` for an op that has none. With out, in: the shapes of output and activation, w: of the weights,

    - CONV_2D: elements(out) * w[1] * w[2] * w[3], w = [out channels, height, width, in channels / groups]
    - DEPTHWISE_CONV_2D: elements(out) * w[1] * w[2]
    - TRANSPOSE_CONV: elements(in) * w[0] * w[1] * w[2]
    - FULLY_CONNECTED: elements(out) * w[1], w = [units, in features]
    - BATCH_MATMUL: elements(out) * (the summed axis of the left side)
    - fused sequence LSTMs: batch * time * (elements of every input, recurrent and projection matrix); the element-wise
      part of the cell is left out. LSTM (one step): the same with time 1
    """
    shapes = [file.shape(op.subgraph, i) if i >= 0 else [] for i in op.inputs]
    out = _elements(file.shape(op.subgraph, op.outputs[0])) if op.outputs else 0
    if op.name == "CONV_2D":
        return [(out * _elements(shapes[1][1:]), op.inputs[0], op.inputs[1])]
    if op.name == "DEPTHWISE_CONV_2D":
        return [(out * _elements(shapes[1][1:3]), op.inputs[0], op.inputs[1])]
    if op.name == "TRANSPOSE_CONV":
        return [(_elements(shapes[2]) * _elements(shapes[1][:3]), op.inputs[2], op.inputs[1])]
    if op.name == "FULLY_CONNECTED":
        return [(out * _elements(shapes[1][-1:]), op.inputs[0], op.inputs[1])]
    if op.name == "BATCH_MATMUL":
        summed = shapes[0][-2:-1] if getattr(op.options, "adjX", False) else shapes[0][-1:]
        return [(out * _elements(summed), op.inputs[0], op.inputs[1])]
    if op.name == "LSTM" and len(op.inputs) == 5:  # the basic kernel: one matrix for all gates
        return [(_elements(shapes[0][:-1]) * _elements(shapes[2]), op.inputs[0], op.inputs[2])]
    matrices = {
        "LSTM": _LSTM_MATRICES,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _LSTM_MATRICES,
        "BIDIRECTIONAL_SEQUENCE_LSTM": _BIDIRECTIONAL_MATRICES,
    }.get(op.name)
    if matrices is None:
        return None
    steps = _elements(shapes[0][:-1])
    present = [i for i in matrices if i < len(op.inputs) and op.inputs[i] >= 0]
    return [(steps * _elements(shapes[i]), op.inputs[0], op.inputs[i]) for i in present]


def _arithmetic(activation: str, weight: str) -> str:
    """``integer``, ``hybrid`` or ``float``: what the kernel multiplies, from the types of its two sides."""
    if weight in _INTEGERS:
        return "integer" if activation in _INTEGERS else "hybrid"
    return "float"


def _macs(file: TFLiteFile) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    by_op: dict[str, Counter[str]] = {}
    uncertain = 0
    work = _work(file)
    for subgraph, runs in work.runs.items():
        for op in file.ops[subgraph]:
            products = _matrix_products(file, op)
            if products is None:
                continue
            tensors = [i for i in (op.inputs[0], *op.outputs) if i >= 0]
            uncertain += any(-1 in file.shape_signature(subgraph, i)[1:] for i in tensors)
            for count, activation, weight in products:
                types = file.dtype(subgraph, activation), file.dtype(subgraph, weight)
                arithmetic = _arithmetic(*types)
                kinds = ["total", arithmetic]
                if arithmetic == "integer" and types[0] in _SIXTEEN:
                    kinds.append("integer16")
                for kind in kinds:
                    totals[kind] += count * runs
                    by_op.setdefault(op.name, Counter())[kind] += count * runs
    kinds = ["total", "float", "hybrid", "integer", "integer16"]
    return {
        **{kind: totals[kind] for kind in kinds},
        "by_op": {name: {kind: counts[kind] for kind in kinds} for name, counts in sorted(by_op.items())},
        "loops": work.loops,
        "unknown_loops": sum(loop["trips"] is None for loop in work.loops),
        "uncertain_ops": uncertain,
    }


def _tensors(file: TFLiteFile) -> Iterator[tuple[int, int]]:
    for subgraph, graph in enumerate(file.graphs):
        for index in range(len(graph.tensors) if graph.tensors is not None else 0):
            yield subgraph, index


def scales_of(tensor: Any) -> list[float]:
    parameters = tensor.quantization
    return [] if parameters is None or parameters.scale is None else [float(s) for s in parameters.scale]


def _weights(file: TFLiteFile) -> dict[str, Any]:
    sizes: Counter[str] = Counter()
    values = 0
    other = {"bytes": 0, "buffers": 0}
    seen: set[int] = set()
    for subgraph, index in _tensors(file):
        tensor = file.tensor(subgraph, index)
        data = file.data(subgraph, index)
        if data is None or tensor.buffer in seen:
            continue
        seen.add(tensor.buffer)
        dtype = file.dtype(subgraph, index)
        # 32-bit integers with a scale are the biases of integer ops; without one they are shapes, axes and indices.
        if dtype in _FLOATS or dtype in _INTEGERS or (dtype in ("INT32", "INT64") and scales_of(tensor)):
            sizes[dtype] += len(data)
            values += _elements(file.shape(subgraph, index))
        else:
            other["bytes"] += len(data)
            other["buffers"] += 1
    return {"bytes": sizes.total(), "values": values, "by_dtype": dict(sizes), "other": other}


def _anomalies(file: TFLiteFile) -> list[dict[str, Any]]:
    """Quantization parameters that cannot be right: a scale that is zero, negative or no number, a saturated bias."""
    found = []
    for subgraph, index in _tensors(file):
        tensor = file.tensor(subgraph, index)
        scales = scales_of(tensor)
        problems = []
        if any(not math.isfinite(scale) for scale in scales):
            problems.append("a scale is not finite")
        if any(scale == 0 for scale in scales):
            problems.append("a scale is zero")
        if any(scale < 0 for scale in scales):
            problems.append("a scale is negative")
        data = file.data(subgraph, index) if scales and file.dtype(subgraph, index) == "INT32" else None
        if data is not None:
            biases = struct.unpack(f"<{len(data) // 4}i", data)
            saturated = sum(bias in _INT32_LIMITS for bias in biases)
            if saturated:
                problems.append(f"{saturated} of {len(biases)} bias values are saturated")
        found += [{"tensor": _text(tensor.name), "subgraph": subgraph, "problem": problem} for problem in problems]
    return found


def _describe(file: TFLiteFile, subgraph: int, index: int) -> dict[str, Any]:
    tensor = file.tensor(subgraph, index)
    parameters = tensor.quantization
    zero_points = [] if parameters is None or parameters.zeroPoint is None else parameters.zeroPoint
    return {
        "name": _text(tensor.name),
        "shape": file.shape(subgraph, index),
        "shape_signature": file.shape_signature(subgraph, index),
        "dtype": file.dtype(subgraph, index).lower(),
        "scale": scales_of(tensor),
        "zero_point": [int(z) for z in zero_points],
        "quantized_dimension": 0 if parameters is None else int(parameters.quantizedDimension),
    }


def _signatures(file: TFLiteFile) -> list[dict[str, Any]]:
    found = []
    for signature in file.model.signatureDefs or []:
        subgraph = signature.subgraphIndex

        def names(maps: Any, subgraph: int = subgraph) -> dict[str, str]:
            return {_text(m.name): _text(file.tensor(subgraph, m.tensorIndex).name) for m in maps or []}

        found.append(
            {
                "key": _text(signature.signatureKey),
                "subgraph": subgraph,
                "inputs": names(signature.inputs),
                "outputs": names(signature.outputs),
            }
        )
    return found


def _ops(file: TFLiteFile) -> list[dict[str, Any]]:
    counts: Counter[tuple[str, str, int]] = Counter()
    where: dict[tuple[str, str, int], set[int]] = {}
    for ops in file.ops:
        for op in ops:
            key = (op.name, op.kind, op.version)
            counts[key] += 1
            where.setdefault(key, set()).add(op.subgraph)
    return [
        {"name": key[0], "kind": key[1], "version": key[2], "count": count, "subgraphs": sorted(where[key])}
        for key, count in sorted(counts.items())
    ]


def _uses(file: TFLiteFile) -> list[dict[str, Any]]:
    """Ops of equal name, version, options and tensors, counted together; see `inspect`."""
    found: dict[str, dict[str, Any]] = {}
    runs = _work(file).runs
    for subgraph, ops in enumerate(file.ops):
        halves = {op.outputs[0] for op in ops if _is_half_weight(file, op)}

        def describe(index: int, subgraph: int = subgraph, halves: set[int] = halves) -> dict[str, Any] | None:
            if index < 0:
                return None
            constant = index in halves or file.data(subgraph, index) is not None
            role = "constant" if constant else "state" if file.tensor(subgraph, index).isVariable else "computed"
            return {
                "dtype": file.dtype(subgraph, index),
                "shape": file.shape_signature(subgraph, index),
                "role": role,
            }

        for op in ops:
            options = {name: getattr(op.options, name) for name in _OPTIONS if hasattr(op.options, name)}
            use = {
                "name": op.name,
                "kind": op.kind,
                "version": op.version,
                "inputs": [describe(index) for index in op.inputs],
                "outputs": [describe(index) for index in op.outputs],
                "options": options,
                "half": _is_half_weight(file, op),
            }
            entry = found.setdefault(json.dumps(use), {**use, "count": 0, "macs": 0})
            entry["count"] += 1
            entry["macs"] += op_macs(file, op) * runs.get(subgraph, 0)
    return list(found.values())


def _is_half_weight(file: TFLiteFile, op: Op) -> bool:
    """Whether an op only turns a constant of half precision into float."""
    if op.name != "DEQUANTIZE":
        return False
    return file.dtype(op.subgraph, op.inputs[0]) == "FLOAT16" and file.data(op.subgraph, op.inputs[0]) is not None


def op_macs(file: TFLiteFile, op: Op) -> int:
    """Multiply-accumulates of one run of an op."""
    return sum(count for count, _, _ in _matrix_products(file, op) or [])


def _float_tensors(file: TFLiteFile) -> int:
    """Float activations: tensors that an op computes from what it is fed, state, and the graph's own inputs.

    A DEQUANTIZE of a constant gives a weight, and what an op lists as intermediate was there for calibration only:
    neither counts.
    """
    found: set[tuple[int, int]] = set()
    for subgraph, ops in enumerate(file.ops):
        found |= {(subgraph, int(index)) for index in file.graphs[subgraph].inputs}
        weights: set[int] = set()
        for op in ops:
            if op.name == "DEQUANTIZE" and file.data(subgraph, op.inputs[0]) is not None:
                weights.update(op.outputs)
        used = {index for op in ops for index in (*op.inputs, *op.outputs) if index >= 0}
        found |= {(subgraph, index) for index in used - weights if file.data(subgraph, index) is None}
    return sum(file.dtype(*at) in _FLOATS for at in found)


def _metadata(file: TFLiteFile) -> dict[str, int]:
    return {_text(entry.name): entry.buffer for entry in file.model.metadata or []}


def read(path: Path) -> dict[str, Any]:
    """The facts of one file; see `inspect`.

    Raises:
        ValueError: it is no TFLite file, or a damaged one.
        ImportError: no schema in this toolchain.
    """
    content = path.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise ValueError(f"{path.name} is no TFLite file: it lacks the identifier {_IDENTIFIER.decode()}")
    try:
        file = TFLiteFile(content)
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), **_facts(file)}
    except (struct.error, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path.name} is a damaged TFLite file: {type(error).__name__}: {error}") from error


def _facts(file: TFLiteFile) -> dict[str, Any]:
    metadata = _metadata(file)
    minimum = file.buffer(metadata[_MIN_RUNTIME]) if _MIN_RUNTIME in metadata else None
    main = file.graphs[0]
    return {
        "description": _text(file.model.description),
        "version": int(file.model.version),
        "min_runtime": minimum.rstrip(b"\0").decode("ascii", "replace") if minimum else "",
        "metadata": sorted(metadata),
        "subgraphs": len(file.graphs),
        "ops": _ops(file),
        "uses": _uses(file),
        "inputs": [_describe(file, 0, int(i)) for i in main.inputs],
        "outputs": [_describe(file, 0, int(i)) for i in main.outputs],
        "signatures": _signatures(file),
        "macs": _macs(file),
        "weights": _weights(file),
        "float_tensors": _float_tensors(file),
        "variable_tensors": sum(bool(file.tensor(*at).isVariable) for at in _tensors(file)),
        "anomalies": _anomalies(file),
    }


def inspect(job: Job) -> dict[str, Any]:
    """Read an artifact. Inputs: ``artifact`` (folder with ``model.tflite``).

    Returns:
        - ``bytes``, ``sha256``, ``description``, ``version`` (of the schema), ``min_runtime`` (TensorFlow version that
          the converter wrote as the oldest that runs it; empty: none written), ``metadata`` (names)
        - ``subgraphs`` (number), ``ops``: ``[{name, kind: builtin|flex|custom, version, count, subgraphs}]``
        - ``uses``: the ops as rules of delegates see them, equal ones together: ``[{name, kind, version, inputs,
          outputs, options, half, count, macs}]``; a tensor is ``{dtype, shape, role}`` (``None``: omitted) with -1 for
          an unknown size and the role ``constant``, ``state`` or ``computed``; ``half``: a DEQUANTIZE of a constant of
          half precision, what it gives is a ``constant``; ``macs``: of all of them in one invoke
        - ``inputs``, ``outputs`` of the primary subgraph: ``[{name, shape, shape_signature, dtype, scale, zero_point,
          quantized_dimension}]``; scale and zero point are lists, empty where not quantized
        - ``signatures``: ``[{key, subgraph, inputs, outputs}]``, names -> tensor names
        - ``macs``: multiply-accumulates of one invoke as the file declares its shapes (`_matrix_products`), ``total`` =
          ``float`` + ``hybrid`` (integer weights, float activations) + ``integer`` (both integer; ``integer16`` is the
          part of it with 16-bit activations). Weights that a DEQUANTIZE turns into float first count as float.
          ``by_op`` the same per op; ``loops``: WHILE ops with their ``trips`` (``None``, ``unknown_loops``: not
          readable, body counted once); ``uncertain_ops``: ops with an unknown size beside the batch, counted as 1.
          Flex and custom ops count nothing.
        - ``weights``: ``bytes``, ``values`` and ``by_dtype`` (bytes) of constant buffers, shared ones counted once;
          ``other``: shapes, axes and indices
        - ``float_tensors``: number of float activations (`_float_tensors`); ``variable_tensors``: number of those
          that keep state between invokes
        - ``anomalies``: ``[{tensor, subgraph, problem}]`` of quantization parameters that cannot be right

    Raises:
        ValueError: it is no TFLite file, or a damaged one.
    """
    return read(job.inputs["artifact"] / ARTIFACT)
