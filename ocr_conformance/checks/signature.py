"""Is the file's interface the declared one: names, shapes, types, quantization parameters, and what comes out?"""

from __future__ import annotations

from typing import Any

from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult

_INTEGER = {"int8", "uint8", "int16"}


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Hold each input and output of the file against the adapter's `TensorSpec`, and declared against real shapes."""
    assert evidence.inputs is not None
    assert evidence.run is not None
    facts = evidence.run.facts
    problems, details = [], []
    for what in ("input", "output"):
        specs, found = evidence.inputs.facts[f"{what}_specs"], facts[f"{what}s"]
        if len(specs) != len(found):
            problems.append(f"the model declares {len(specs)} {what}s, the file has {len(found)}")
        for spec, tensor in zip(specs, found, strict=False):
            label = f"{what} {spec['name']}"
            problems += [f"{label} {problem}" for problem in _problems(spec, tensor, limits)]
            details.append(f"{label}: {_describe(tensor)}")
    keys = facts.get("signature_names") or []
    details.append(f"signatures: {', '.join(keys)}" if keys else "the file has no signature: an app needs tensor names")
    if problems:
        return CheckResult("signature", "failed", "; ".join(problems), details=tuple(details))
    named = "names, " if limits.signature.names else ""
    message = f"{named}shapes, types and quantization parameters of {len(facts['inputs'])} inputs and "
    message += f"{len(facts['outputs'])} outputs are as declared"
    return CheckResult("signature", "passed", message, details=tuple(details))


def _problems(spec: dict[str, Any], tensor: dict[str, Any], limits: Limits) -> list[str]:
    found = []
    if limits.signature.names and spec["name"] not in (tensor["name"], tensor["tensor"]):
        found.append(f"is called {tensor['name']} in the file")
    declared = tensor["shape_signature"] or tensor["shape"]
    real = tensor.get("real_shape")
    if not _fits(declared, spec["shape"]) and (real is None or limits.signature.output_shape):
        found.append(f"is declared as {declared} in the file, the model declares {list(spec['shape'])}")
    if real is not None:
        # An app allocates its buffer by the shape before the first invoke: -1 in the shape signature does not mend it.
        wrong = next((shape for shape in (tensor["shape"], declared) if not _fits(shape, real)), None)
        if wrong is not None and limits.signature.output_shape:
            found.append(f"is declared as {wrong} in the file and really has shape {list(real)}")
        if not _fits(spec["shape"], real):
            found.append(f"really has shape {list(real)}, the model declares {list(spec['shape'])}")
    dtype = tensor["dtype"]
    if dtype in _INTEGER and spec["dtype"].startswith("float"):
        if not tensor["scale"] > 0:
            found.append(f"is {dtype} without a quantization scale (scale {tensor['scale']:g})")
    elif dtype != spec["dtype"]:
        found.append(f"is {dtype} in the file, the model declares {spec['dtype']}")
    return found


def _fits(declared: list[int], shape: list[int]) -> bool:
    """Whether a shape is one that the declaration allows; -1 stands for any size."""
    return len(declared) == len(shape) and all(a in (b, -1) for a, b in zip(declared, shape, strict=True))


def _describe(tensor: dict[str, Any]) -> str:
    real = f", really {tensor['real_shape']}" if "real_shape" in tensor else ""
    scale = f", scale {tensor['scale']:.6g}, zero point {tensor['zero_point']}" if tensor["scale"] else ""
    return f"{tensor['name']} {tensor['dtype']} {tensor['shape_signature'] or tensor['shape']}{real}{scale}"
