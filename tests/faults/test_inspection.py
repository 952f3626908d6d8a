"""Whatever bytes a ``.tflite`` file has, its inspection reads it or says that it is damaged, and soon."""

from __future__ import annotations

import copy
import importlib.util
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocr_conformance.inspect import tflite

from . import damage
from .damage import FAR, bomb, flipped, pointing_outside, truncated

NAMES = ("conv", "lstm", "conv-full-int8", "while", "flex", "unsigned", "conv-int16x8", "lstm-full-int8")
SECONDS, GROWTH = 20.0, 400 << 20

# The schema's classes come with the runtime, which itself is not imported.
pytestmark = pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("ai_edge_litert", "tensorflow")),
    reason="reading a .tflite file needs the schema of ai-edge-litert or tensorflow",
)


def peak() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def look_into(path: Path, content: bytes) -> bool:
    """Whether it can be read; else it must be said that it is damaged."""
    path.write_bytes(content)
    before, began = peak(), time.process_time()
    try:
        facts = tflite.read(path)
    except ValueError as error:
        said = str(error)
        assert said.startswith((f"{path.name} is no TFLite file", f"{path.name} is a damaged TFLite file: ")), said
        facts = {}
    assert time.process_time() - began < SECONDS
    assert peak() - before < GROWTH
    return bool(facts)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file, after some accidents."""
    content = bytearray(damage.whole(draw(st.sampled_from(NAMES))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 8))
        kind = draw(st.sampled_from(("word", "near", "bit", "splice", "cut", "short")))
        if kind == "word":
            at &= ~3
            value = draw(
                st.sampled_from((*FAR, 0, 1, 2, 4, 0xFFFF, 0x10000, 0x10000000, len(content), len(content) - at))
            )
            content[at : at + 4] = struct.pack("<I", value)
        elif kind == "near":  # what was an offset points elsewhere in the file
            at &= ~3
            content[at : at + 4] = struct.pack("<I", draw(st.integers(0, len(content))))
        elif kind == "bit":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "short":
            at &= ~1
            content[at : at + 2] = struct.pack("<H", draw(st.sampled_from((0, 2, 4, 0x7FFF, 0xFFFF))))
        elif kind == "splice":
            start, size = draw(st.integers(0, len(content))), draw(st.integers(1, 400))
            content[at : at + size] = content[start : start + size]
        else:
            del content[max(at, 16) :]
            break
    content[4:8] = b"TFL3"  # else nothing is read
    return bytes(content)


def test_mutated_files_are_read_or_said_to_be_damaged(tmp_path: Path, whole: bool) -> None:
    outcomes = []

    @settings(
        max_examples=20_000 if whole else 700, database=None, derandomize=not whole,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(mutated())
    def each(content: bytes) -> None:
        outcomes.append(look_into(tmp_path / "mutated.tflite", content))

    each()
    # Else the mutations are too weak or too strong to say anything.
    assert 0.05 < sum(outcomes) / len(outcomes) < 0.95


def test_any_bytes_behind_the_identifier(tmp_path: Path, whole: bool) -> None:
    @settings(max_examples=5000 if whole else 300, database=None, derandomize=not whole)
    @given(st.binary(max_size=200), st.binary(min_size=4, max_size=4))
    def each(content: bytes, root: bytes) -> None:
        look_into(tmp_path / "any.tflite", root + b"TFL3" + content)

    each()


def test_every_word_of_a_file_may_be_wrong(tmp_path: Path, whole: bool) -> None:
    names = ("lstm", "while", "conv") if whole else ("lstm",)
    values = (*FAR, 1, 0x10000000) if whole else (0x7FFFFFFF,)
    for name in names:
        content = damage.whole(name)
        for at in range(0, len(content) - 3, 4):
            if at != 4:
                for value in values:
                    look_into(tmp_path / "word.tflite", content[:at] + struct.pack("<I", value) + content[at + 4 :])


def test_what_is_cut_flipped_or_points_outside(tmp_path: Path) -> None:
    for _, content in (*truncated(), *flipped(200), *pointing_outside()):
        look_into(tmp_path / "damaged.tflite", content)


def test_what_would_be_huge_when_unpacked_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tflite"
    path.write_bytes(bomb())
    before = peak()
    with pytest.raises(ValueError, match=r"bomb.tflite is a damaged TFLite file: .* its parts take more than 16 times"):
        tflite.read(path)
    assert peak() - before < 50 << 20


def built(change: Callable[[Any, Any], None]) -> bytes:
    """``while.tflite``, changed as its writer could have: a flatbuffer that is whole."""
    import flatbuffers

    schema = tflite.schema()
    model = schema.ModelT.InitFromPackedBuf(damage.whole("while"), 0)
    change(schema, model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def chained(count: int) -> bytes:
    """Each subgraph runs the next one twice, the last one the first."""

    def change(schema: Any, model: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.IF
        model.operatorCodes.append(code)
        graphs = []
        for number in range(count):
            graph = copy.copy(model.subgraphs[0])
            op = schema.OperatorT()
            op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes) - 1, [0], []
            op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.IfOptions, schema.IfOptionsT()
            op.builtinOptions.thenSubgraphIndex = op.builtinOptions.elseSubgraphIndex = (number + 1) % count
            graph.operators = [op]
            graphs.append(graph)
        body = copy.copy(model.subgraphs[2])
        dense = _code(schema, model, "FULLY_CONNECTED")
        body.operators = [*(op for op in body.operators if op.opcodeIndex == dense), *graphs[-1].operators]
        model.subgraphs, model.signatureDefs = [*graphs[:-1], body], []

    return built(change)


def _code(schema: Any, model: Any, name: str) -> int:
    wanted = getattr(schema.BuiltinOperator, name)
    return next(
        index
        for index, code in enumerate(model.operatorCodes)
        if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted
    )


def test_subgraphs_that_run_each_other_are_counted_without_walking_every_way(tmp_path: Path) -> None:
    path = tmp_path / "chain.tflite"
    for count in (3, 50):
        path.write_bytes(chained(count))
        assert tflite.read(path)["macs"]["total"] == 2 ** (count - 1) * (5 * 5 + 8 * 5)
    path.write_bytes(chained(3000))  # deeper than Python's stack
    assert tflite.read(path)["subgraphs"] == 3000


def test_a_loop_s_condition_that_depends_on_itself_is_not_followed_for_ever(tmp_path: Path) -> None:
    def change(schema: Any, model: Any) -> None:
        condition = model.subgraphs[1]
        less = _code(schema, model, "LESS")
        (index,) = (number for number, op in enumerate(condition.operators) if op.opcodeIndex == less)
        code = model.operatorCodes[less]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.LOGICAL_AND
        op = condition.operators[index]
        op.inputs = [op.outputs[0], op.outputs[0]]
        op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.NONE, None

    path = tmp_path / "circle.tflite"
    path.write_bytes(built(change))
    assert tflite.read(path)["macs"]["unknown_loops"] == 1
