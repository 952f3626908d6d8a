"""Does the same network in another framework say the same? Of the two sources: no artifact takes part."""

from __future__ import annotations

from ocr_conformance import metrics, polygons
from ocr_conformance.checks import _scenes, _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult, Value

IOU = 0.75
"""Intersection over union from which a box of the one is the other's."""
_EXAMPLES = 10


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Equal texts, or as many boxes that all match: weights that were carried over leave nothing to tolerate.

    How far the outputs are from each other stands beside it, of those with the same name and shape.
    """
    assert evidence.source is not None
    assert evidence.twin is not None
    ours, twin = evidence.source, evidence.twin
    kind = "boxes" if any(side.facts.get("boxes") is not None for side in (ours, twin)) else "texts"
    for who, side in (("source", ours), ("twin", twin)):
        if side.facts.get(kind) is None:
            reason = side.facts.get("undecoded", f"it gives no {kind}")
            return CheckResult("twin", "failed", f"the outputs of the {who} do not decode: {reason}")
    seen, seen_by_twin = len(ours.facts[kind]), len(twin.facts[kind])
    if seen != seen_by_twin:
        return CheckResult("twin", "failed", f"the source sees {seen} images, the twin {seen_by_twin}")
    judged = _boxes if kind == "boxes" else _texts
    summary, values, differences = judged(evidence, ours.facts[kind], twin.facts[kind])
    if differences:
        summary += f"; first difference {differences[0]}"
    gap = _gap(ours, twin)
    if gap is not None:
        values.append(Value("max_abs", gap))
    same = all(value.holds for value in values)
    return CheckResult("twin", "passed" if same else "failed", summary, tuple(values), tuple(differences[:_EXAMPLES]))


Judged = tuple[str, list[Value], list[str]]


def _texts(evidence: Evidence, ours: list[str], twin: list[str]) -> Judged:
    agreement = metrics.agreement(twin, ours)
    differences = [
        f"{_words.sample(evidence.images, index)}: {text!r}, the twin reads {other!r}"
        for index, (text, other) in enumerate(zip(ours, twin, strict=True))
        if text != other
    ]
    summary = f"reads its twin's text on {len(ours) - len(differences)} of {len(ours)} images"
    return summary, [Value("agreement", agreement, 1.0, most=False)], differences


def _boxes(evidence: Evidence, ours: list[list[_scenes.Polygon]], twin: list[list[_scenes.Polygon]]) -> Judged:
    matches = [polygons.match(other, boxes, IOU) for boxes, other in zip(ours, twin, strict=True)]
    overlap = [iou for each in matches for *_, iou in each.pairs]
    found, reference = sum(each.found for each in matches), sum(each.reference for each in matches)
    values = [
        Value("precision_75", _scenes.share(len(overlap), found), 1.0, most=False),
        Value("recall_75", _scenes.share(len(overlap), reference), 1.0, most=False),
        Value("mean_iou", sum(overlap) / len(overlap) if overlap else 1.0),
    ]
    differences = [
        f"{_words.sample(evidence.images, index)}: {each.found} boxes, {each.reference} of the twin, "
        f"{len(each.pairs)} the same"
        for index, each in enumerate(matches)
        if not len(each.pairs) == each.found == each.reference
    ]
    summary = (
        f"{found} boxes in {len(ours)} images, {reference} of the twin, {len(overlap)} of them the same "
        f"(IoU >= {IOU}), mean IoU {values[-1].measured:.4f}"
    )
    return summary, values, differences


def _gap(ours: Outcome, twin: Outcome) -> float | None:
    """Largest difference of the outputs, in units of each output's largest magnitude of the twin."""
    if ours.folder is None or twin.folder is None:
        return None
    import numpy as np

    mine, others = ours.tensors("outputs.npz"), twin.tensors("outputs.npz")
    gaps = [
        metrics.distance(others[name], mine[name]).max_abs
        for name in mine
        if name in others and mine[name].shape == others[name].shape and mine[name].size
    ]
    return float(np.max(gaps)) if gaps else None  # NaN stays NaN
