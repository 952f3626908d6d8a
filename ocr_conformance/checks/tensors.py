"""Are the outputs close to the source's? Per output, per hop, with the worst sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance import metrics
from ocr_conformance.checks import _hops, _words
from ocr_conformance.contract import Limits, TensorLimits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge

if TYPE_CHECKING:
    from ocr_conformance.evidence import Tensors


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Every output of the artifact against the source's; the worst output counts.

    Fails whatever the limits: an output that is missing or has another shape, NaN or infinity, an output that no longer
    depends on the image.
    """
    assert evidence.source is not None
    assert evidence.run is not None
    source, artifact = evidence.source.tensors("outputs.npz"), evidence.run.tensors("outputs.npz")
    hops = _steps(evidence, limits.tensors)
    details, data = [_hops.line(hops)] if hops else [], {"hops": hops}
    wrong = _mismatch(source, artifact)
    if wrong:
        return CheckResult("tensors", "failed", wrong, details=tuple(details), data=data)
    tolerance = limits.tensors.tolerance or 0.0
    distances = {name: metrics.distance(source[name], artifact[name], tolerance) for name in source}
    values = _values(list(distances.values()), limits.tensors)
    if len(distances) > 1:
        details += [f"{name}: {_describe(distance)}" for name, distance in distances.items()]
    for name, distance in distances.items():
        worst = _words.sample(evidence.images, distance.worst)
        if distance.nonfinite:
            whose = "source and artifact" if not _finite(source[name]) else "artifact"
            message = f"{distance.nonfinite} numbers of {name} are NaN or infinite in the {whose}, first for {worst}"
            return CheckResult("tensors", "failed", message, tuple(values), tuple(details), data)
        if distance.constant:
            message = f"{name} is the same for all {len(source[name])} images: it no longer depends on the input"
            return CheckResult("tensors", "failed", message, tuple(values), tuple(details), data)
    name, distance = max(distances.items(), key=lambda item: item[1].max_abs)
    worst = _words.sample(evidence.images, distance.worst)
    if len(distances) > 1:
        worst = f"{name}, {worst}"
    return judge("tensors", values, f"{_describe(distance)}, worst for {worst}", details, **data)


def _mismatch(source: Tensors, artifact: Tensors) -> str:
    if set(source) != set(artifact):
        return f"the source gives {', '.join(sorted(source))}, the artifact {', '.join(sorted(artifact))}"
    for name in source:
        if source[name].shape != artifact[name].shape:
            ours, theirs = list(artifact[name].shape), list(source[name].shape)
            return f"{name} has shape {ours} in the artifact and {theirs} in the source (samples first)"
    return ""


def _finite(array: metrics.Array) -> bool:
    import numpy as np

    return bool(np.isfinite(array).all())


def _describe(distance: metrics.Distance) -> str:
    size = f"max abs {distance.max_abs:.3g} of {distance.scale:.3g}"
    return f"{size}, cosine {distance.cosine:.4f}, {distance.sqnr_db:.1f} dB"


def _values(distances: list[metrics.Distance], limits: TensorLimits) -> list[Value]:
    """Each measure over all outputs, the worst one; NaN as soon as one output has it."""
    import numpy as np

    def worst(name: str, most: bool) -> float:
        numbers = [getattr(distance, name) for distance in distances]
        return float(np.max(numbers) if most else np.min(numbers))  # unlike max(), these carry NaN on

    return [
        Value("max_abs", worst("max_abs", True), limits.max_abs),
        Value("rmse", worst("rmse", True), limits.rmse),
        Value("cosine", worst("cosine", False), limits.cosine, most=False),
        Value("cosine_mean", worst("cosine_mean", False), limits.cosine_mean, most=False),
        Value("sqnr_db", worst("sqnr_db", False), limits.sqnr_db, most=False, unit=" dB"),
        Value("outside", worst("outside", True), limits.outside),
    ]


def _steps(evidence: Evidence, limits: TensorLimits) -> list[dict[str, Any]]:
    """Each hop against the one before: its largest difference, and whether it keeps to the limits."""

    def compare(before: Tensors, after: Tensors) -> tuple[float | None, str]:
        if _mismatch(before, after):
            return None, "other names or shapes FAILED"
        distances = [metrics.distance(before[output], after[output], limits.tolerance or 0.0) for output in before]
        values = _values(distances, limits)
        holds = all(value.holds for value in values) and not any(
            distance.nonfinite or distance.constant for distance in distances
        )
        return values[0].measured, f"{values[0].measured:.2g} {'ok' if holds else 'FAILED'}"

    return _hops.steps(evidence, "max_abs", lambda run: run.tensors("outputs.npz"), compare, "not run")
