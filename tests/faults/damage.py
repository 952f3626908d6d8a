"""Damaged ``.tflite`` files: cut, with flipped bits, and such as point outside themselves."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parent.parent / "data"
FILES = ("conv", "lstm", "conv-full-int8", "while")
FAR = (0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFFFFF0)


def whole(name: str) -> bytes:
    """A file of tests/data."""
    return (DATA / f"{name}.tflite").read_bytes()


def truncated(count: int = 20) -> Iterator[tuple[str, bytes]]:
    """Cut at places that lie all over the file, the last byte among them."""
    for number in range(count):
        content = whole(FILES[number % len(FILES)])
        end = len(content) - 1 if number == count - 1 else len(content) * number // count
        yield f"{FILES[number % len(FILES)]}-cut-at-{end}", content[:end]


def flipped(count: int) -> Iterator[tuple[str, bytes]]:
    """With one to eight bits flipped."""
    draw = random.Random(8)
    for number in range(count):
        name = FILES[number % len(FILES)]
        content = bytearray(whole(name))
        for _ in range(draw.choice((1, 1, 2, 8))):
            bit = draw.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
        yield f"{name}-flipped-{number}", bytes(content)


class Table:
    """A table of a flatbuffer, read by hand (flatbuffers.dev/internals)."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content = content
        self.at = at

    def word(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.content, at)[0])

    def field(self, number: int) -> int:
        """Where a field lies."""
        vtable = self.at - struct.unpack_from("<i", self.content, self.at)[0]
        offset: int = struct.unpack_from("<H", self.content, vtable + 4 + 2 * number)[0]
        assert offset, f"no field {number}"
        return self.at + offset

    def vector(self, number: int) -> int:
        """Where the length of a vector stands; its elements follow."""
        at = self.field(number)
        return at + self.word(at)

    def table(self, number: int, index: int) -> Table:
        """A table of a vector of them."""
        at = self.vector(number) + 4 + 4 * index
        return Table(self.content, at + self.word(at))


# Numbers of fields: schema.fbs, in their order.
OPERATOR_CODES, SUBGRAPHS, BUFFERS, SIGNATURES = 1, 2, 4, 7
TENSORS, INPUTS, OUTPUTS, OPERATORS = 0, 1, 2, 3
SHAPE, TYPE, BUFFER, QUANTIZATION = 0, 1, 2, 4
OPCODE, OP_INPUTS, OP_OUTPUTS = 0, 1, 2


def pointing_outside(name: str = "conv") -> Iterator[tuple[str, bytes]]:
    """Each with one offset, length or index that lies outside the file, or a shape that no memory holds."""
    content = whole(name)
    model = Table(content, struct.unpack_from("<I", content)[0])
    graph = model.table(SUBGRAPHS, 0)
    # A constant's tensor has a buffer; the field of buffer 0 is not written.
    op, tensor, buffer = graph.table(OPERATORS, 0), graph.table(TENSORS, 1), model.table(BUFFERS, 2)
    places = {
        "root": 0,
        "vtable": model.at,
        "subgraphs": model.field(SUBGRAPHS),
        "number-of-subgraphs": model.vector(SUBGRAPHS),
        "subgraph": model.vector(SUBGRAPHS) + 4,
        "number-of-buffers": model.vector(BUFFERS),
        "buffer": model.vector(BUFFERS) + 12,
        "bytes-of-a-buffer": buffer.vector(0),
        "number-of-codes": model.vector(OPERATOR_CODES),
        "number-of-tensors": graph.vector(TENSORS),
        "tensor": graph.vector(TENSORS) + 8,
        "number-of-operators": graph.vector(OPERATORS),
        "operator": graph.vector(OPERATORS) + 4,
        "code-of-an-operator": graph.table(OPERATORS, 2).field(OPCODE),
        "inputs-of-an-operator": op.vector(OP_INPUTS) + 4,
        "outputs-of-an-operator": op.vector(OP_OUTPUTS) + 4,
        "number-of-inputs-of-an-operator": op.vector(OP_INPUTS),
        "inputs-of-the-graph": graph.vector(INPUTS) + 4,
        "outputs-of-the-graph": graph.vector(OUTPUTS) + 4,
        "buffer-of-a-tensor": tensor.field(BUFFER),
        "dimensions-of-a-tensor": tensor.vector(SHAPE),
        "size-of-a-tensor": tensor.vector(SHAPE) + 4,
        "signatures": model.field(SIGNATURES),
    }
    for label, at in places.items():
        for value in FAR:
            yield f"{label}-{value:#x}", content[:at] + struct.pack("<I", value) + content[at + 4 :]
    for label, at in places.items():  # just behind its end
        yield f"{label}-behind", content[:at] + struct.pack("<I", len(content) - at) + content[at + 4 :]


def bomb(count: int = 5000) -> bytes:
    """Small, and huge when unpacked: all subgraphs are one, all their tensors are one, its name as long as the file."""
    # A vtable says how long it and its table are, and where in the table a field lies (0: nowhere).
    vtables = {
        "model": struct.pack("<HHHHHH", 10, 8, 0, 0, 4, 0),
        "graph": struct.pack("<HHHH", 6, 8, 4, 0),
        "tensor": struct.pack("<HHHHHH", 12, 8, 0, 0, 0, 4),
    }
    size = 4 + 4 * count
    at, place = 8, {}
    for name, length in (
        *((f"{name} vtable", len(vtable)) for name, vtable in vtables.items()),
        *(("model", 8), ("graphs", size), ("graph", 8), ("tensors", size), ("tensor", 8), ("name", 4 + size)),
    ):
        place[name] = at
        at += length

    def table(name: str, target: str) -> bytes:
        return struct.pack("<iI", place[name] - place[f"{name} vtable"], place[target] - place[name] - 4)

    def vector(name: str, target: str) -> bytes:
        return struct.pack("<I", count) + b"".join(
            struct.pack("<I", place[target] - place[name] - 4 - 4 * number) for number in range(count)
        )

    parts = [
        struct.pack("<I4s", place["model"], b"TFL3"),
        *vtables.values(),
        table("model", "graphs"),
        vector("graphs", "graph"),
        table("graph", "tensors"),
        vector("tensors", "tensor"),
        table("tensor", "name"),
        struct.pack("<I", size) + b"n" * size,
    ]
    return b"".join(parts)
