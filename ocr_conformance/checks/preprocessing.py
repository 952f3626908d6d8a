"""Does the recipe that an app follows feed what the source library feeds, from the same image file?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Largest and mean difference of an image, in units of the input's declared range (else the source's magnitude).

    Where the file's input is integer, what is compared is what the interpreter gets: both after quantization, with the
    share of the app's values that the input type cannot represent.
    """
    assert evidence.inputs is not None
    assert evidence.run is not None
    fed, phone = evidence.inputs.tensors("inputs.npz"), evidence.inputs.tensors("phone.npz")
    specs = {spec["name"]: spec for spec in evidence.inputs.facts["input_specs"]}
    declared = {tensor.get("declared_as", tensor["name"]): tensor for tensor in evidence.run.facts["inputs"]}
    if set(fed) != set(phone):
        message = f"the source feeds {', '.join(sorted(fed))}, the app's recipe {', '.join(sorted(phone))}"
        return CheckResult("preprocessing", "failed", message)
    per_image: Array | None = None
    means: Array | None = None
    clipped = elements = 0
    quantized = False
    for name, reference in fed.items():
        wanted, given = np.asarray(reference, np.float64), np.asarray(phone[name], np.float64)
        if wanted.shape != given.shape:
            message = f"{name} has shape {list(given.shape)} by the app's recipe and {list(wanted.shape)} by the source"
            return CheckResult("preprocessing", "failed", message)
        bad = ~(np.isfinite(wanted) & np.isfinite(given))
        if bad.any():
            image = _words.sample(evidence.images, int(np.argwhere(bad)[0][0]))
            return CheckResult("preprocessing", "failed", f"{name} has NaN or infinite values, first for {image}")
        unit = _range(specs.get(name, {}), wanted)
        tensor = declared.get(name, {})
        if tensor.get("scale") and str(tensor["dtype"]) in ("int8", "uint8", "int16"):
            quantized = True
            elements += given.size
            clipped += _clipped(given, tensor)
            wanted, given = _as_fed(wanted, tensor), _as_fed(given, tensor)
        gaps = np.abs(given - wanted).reshape(len(wanted), -1) / unit
        gap, mean = gaps.max(axis=1), gaps.mean(axis=1)
        per_image = gap if per_image is None else np.maximum(per_image, gap)
        means = mean if means is None else np.maximum(means, mean)
    assert per_image is not None and means is not None
    worst = int(per_image.argmax())
    values = [
        Value("max_abs", float(per_image[worst]), limits.preprocessing.max_abs),
        Value("mean_abs", float(means.max()), limits.preprocessing.mean_abs),
    ]
    summary = f"the app's recipe feeds the same as the source for all {len(per_image)} images"
    if per_image[worst] > 0:
        name = _words.sample(evidence.images, worst)
        summary = f"the app's recipe is off by at most {per_image[worst]:.2g} of the input's range, for {name}"
    if quantized:
        values.append(Value("clipped", clipped / elements, limits.preprocessing.clipped))
        summary += f"; compared after quantization, {clipped} of {elements} values are clipped"
    order = np.argsort(-per_image)[:10]
    details = [f"{_words.sample(evidence.images, int(i))}: {per_image[i]:.3g}" for i in order if per_image[i] > 0]
    return judge("preprocessing", values, summary, details)


def _range(spec: dict[str, Any], reference: Array) -> float:
    low, high = spec.get("low"), spec.get("high")
    if low is not None and high is not None and high > low:
        return float(high - low)
    return float(np.abs(reference).max()) or 1.0


def _steps(values: Array, tensor: dict[str, Any]) -> Array:
    steps: Array = np.rint(values / tensor["scale"]) + tensor["zero_point"]
    return steps


def _clipped(values: Array, tensor: dict[str, Any]) -> int:
    """Values beyond what the integer type can represent."""
    limits, steps = np.iinfo(tensor["dtype"]), _steps(values, tensor)
    return int(np.count_nonzero((steps < limits.min) | (steps > limits.max)))


def _as_fed(values: Array, tensor: dict[str, Any]) -> Array:
    """The real numbers that the integers stand for, once values are rounded and clipped to the input's type."""
    limits = np.iinfo(tensor["dtype"])
    fed: Array = (np.clip(_steps(values, tensor), limits.min, limits.max) - tensor["zero_point"]) * tensor["scale"]
    return fed
