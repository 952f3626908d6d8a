"""Which tensor of one ``.tflite`` file stands for which of another, where a quantizer put in, fused or renamed ops."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocr_conformance.inspect.tflite import Op, TFLiteFile

RECODING = frozenset({"QUANTIZE", "DEQUANTIZE"})
"""Ops that only change how the same numbers are written."""


def align(suspect: TFLiteFile, reference: TFLiteFile) -> dict[int, int]:
    """The reference's tensor for each tensor of ``suspect`` that has one; activations of the primary subgraphs.

    Inputs and outputs correspond by order. Ops correspond by the name of what they compute, where name and shape agree
    and are unique (a converter may have chosen another kind); between those by kind and shape in execution order. What
    a `RECODING` op gives stands for the same tensor as what it takes.
    """
    pairs: dict[int, int] = {}
    for ours, theirs in zip(suspect.graphs[0].inputs, reference.graphs[0].inputs, strict=False):
        pairs[int(ours)] = int(theirs)
    left = [op for op in suspect.ops[0] if op.name not in RECODING]
    right = [op for op in reference.ops[0] if op.name not in RECODING]
    for ours, theirs in _corresponding(suspect, left, reference, right):
        for a, b in zip(ours.outputs, theirs.outputs, strict=False):
            if _elements(suspect, a) == _elements(reference, b):
                pairs.setdefault(a, b)
    for op in suspect.ops[0]:
        if op.name in RECODING and op.inputs[0] in pairs:
            pairs.setdefault(op.outputs[0], pairs[op.inputs[0]])
    for ours, theirs in zip(suspect.graphs[0].outputs, reference.graphs[0].outputs, strict=False):
        if _elements(suspect, int(ours)) == _elements(reference, int(theirs)):
            pairs.setdefault(int(ours), int(theirs))
    return pairs


def _elements(file: TFLiteFile, tensor: int) -> int:
    size = 1
    for length in file.shape(0, tensor):
        size *= length
    return size


def _corresponding(suspect: TFLiteFile, left: list[Op], reference: TFLiteFile, right: list[Op]) -> list[tuple[Op, Op]]:
    ours, theirs = ([_key(file, op) for op in ops] for file, ops in ((suspect, left), (reference, right)))
    named = [
        [(_key(file, op)[1], _name(file, op)) for op in ops] for file, ops in ((suspect, left), (reference, right))
    ]
    counts = [Counter(each) for each in named]
    places = {each: index for index, each in enumerate(named[1]) if counts[1][each] == 1}
    anchors = [(index, places[each]) for index, each in enumerate(named[0]) if counts[0][each] == 1 and each in places]
    anchors = _rising(anchors)
    found = []
    before = (-1, -1)
    for anchor in [*anchors, (len(left), len(right))]:
        a, b = before[0] + 1, before[1] + 1
        matcher = difflib.SequenceMatcher(None, ours[a : anchor[0]], theirs[b : anchor[1]], autojunk=False)
        for i, j, size in matcher.get_matching_blocks():
            found += [(left[a + i + n], right[b + j + n]) for n in range(size)]
        if anchor[0] < len(left):
            found.append((left[anchor[0]], right[anchor[1]]))
        before = anchor
    return found


def _key(file: TFLiteFile, op: Op) -> tuple[str, tuple[tuple[int, ...], ...]]:
    return op.name, tuple(tuple(file.shape(0, index)) for index in op.outputs)


def _name(file: TFLiteFile, op: Op) -> str:
    return tensor_name(file, op.outputs[0]) if op.outputs else ""


def tensor_name(file: TFLiteFile, tensor: int) -> str:
    """A tensor's name in the file."""
    name = file.tensor(0, tensor).name
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most pairs that rise on both sides: a longest increasing subsequence of their second places."""
    import bisect

    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, (_, second) in enumerate(pairs):
        place = bisect.bisect_left(tails, second)
        tails[place : place + 1] = [second]
        ends[place : place + 1] = [index]
        before.append(ends[place - 1] if place else -1)
    chain = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]
