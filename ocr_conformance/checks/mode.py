"""Did the quantization mode take effect? An "int8" file whose tensors are float passed nothing."""

from __future__ import annotations

from typing import Any

from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge

_FLOAT_IO = {"float32"}
_IO_TYPES = {
    "float32": _FLOAT_IO,
    "float16": _FLOAT_IO,
    "dynamic-range": _FLOAT_IO,
    "int8": _FLOAT_IO,
    "full-int8": {"int8", "uint8"},
    "int16x8": {"float32", "int16"},
}
"""Types that inputs and outputs that carry real numbers may have in each mode (decoded indices stay whole numbers)."""
_INDEX_TYPES = {"int32", "int64", "bool", "string"}


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Shares of multiply-accumulates and of weight bytes against the contract's minima, and what a mode means.

    By definition, whatever the contract says: a ``float32`` file has nothing quantized, a ``float16`` file no integer
    arithmetic, and inputs and outputs have the mode's types.
    """
    assert evidence.inspect is not None
    facts, mode = evidence.inspect.facts, evidence.case.mode
    macs, stored = facts["macs"], facts["weights"]["by_dtype"]
    total = macs["total"]
    integer = macs["integer16"] if mode == "int16x8" else macs["integer"] - macs["integer16"]
    weights = facts["weights"]["bytes"]
    integers = sum(size for dtype, size in stored.items() if dtype.startswith(("INT", "UINT")))
    wanted = limits.effect
    values = [
        Value("integer_macs", _share(integer, total), wanted.integer_macs, most=False),
        Value("hybrid_macs", _share(macs["hybrid"], total), wanted.hybrid_macs, most=False),
        Value("integer_weights", _share(integers, weights), wanted.integer_weights, most=False),
        Value("float16_weights", _share(stored.get("FLOAT16", 0), weights), wanted.float16_weights, most=False),
        Value("float_tensors", facts["float_tensors"], wanted.float_tensors),
    ]
    shares = ", ".join(f"{_share(macs[kind], total):.0%} {kind}" for kind in ("float", "hybrid", "integer"))
    kinds = ", ".join(f"{_share(size, weights):.0%} {dtype.lower()}" for dtype, size in sorted(stored.items()))
    summary = f"multiply-accumulates {shares}; weight bytes {kinds or 'none'}"
    if facts["float_tensors"] and wanted.float_tensors is not None:
        summary += f"; {facts['float_tensors']} activations are float"
    problems = _contradictions(mode, facts, integers)
    if problems:
        summary = f"the file is not {mode}: {'; '.join(problems)}; {summary}"
    result = judge("mode", values, summary, _details(facts), contradictions=problems)
    if problems and result.verdict == "passed":
        return CheckResult("mode", "failed", summary, result.values, result.details, result.data)
    return result


def _share(part: float, whole: float) -> float:
    """0 .. 1; of nothing it is 0, so that a file without any arithmetic or weights meets no minimum."""
    return part / whole if whole else 0.0


def _contradictions(mode: str, facts: dict[str, Any], integers: int) -> list[str]:
    macs, stored = facts["macs"], facts["weights"]["by_dtype"]
    found = []
    if mode == "float32" and stored.get("FLOAT16", 0):
        found.append(f"{_words.size(stored['FLOAT16'])} of weights are float16")
    if mode == "float32" and integers:
        found.append(f"{_words.size(integers)} of weights are integer")
    if mode in ("float32", "float16") and macs["hybrid"] + macs["integer"]:
        found.append("some of its arithmetic is quantized")
    for what in ("inputs", "outputs"):
        for tensor in facts[what]:
            if tensor["dtype"] not in _IO_TYPES.get(mode, {tensor["dtype"]}) | _INDEX_TYPES:
                found.append(f"{what[:-1]} {tensor['name']} is {tensor['dtype']}")
    return found


def _details(facts: dict[str, Any]) -> list[str]:
    macs = facts["macs"]
    lines = [f"{macs['total']:,} multiply-accumulates an invoke, {facts['float_tensors']} float activations"]
    lines += [
        f"{name}: {counts['total']:,} ({_share(counts['hybrid'], counts['total']):.0%} hybrid, "
        f"{_share(counts['integer'], counts['total']):.0%} integer)"
        for name, counts in macs["by_op"].items()
    ]
    if macs["unknown_loops"]:
        lines.append(f"{macs['unknown_loops']} loops of unknown length are counted as one round")
    if macs["uncertain_ops"]:
        lines.append(f"{macs['uncertain_ops']} ops of unknown size are counted too small")
    lines += [f"suspicious: {anomaly['tensor']}: {anomaly['problem']}" for anomaly in facts["anomalies"]]
    return lines
