"""Does it find the same boxes as the source? One to one, by their overlap."""

from __future__ import annotations

from typing import Any

from ocr_conformance import polygons
from ocr_conformance.checks import _hops, _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge

LEVELS = (0.5, 0.75)
"""Intersection over union from which two boxes are the same; 0.5 is that of ICDAR 2015 and of PASCAL VOC."""
_EXAMPLES = 6


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Precision and recall with the source's boxes as reference, over all images, at both levels; mean overlap.

    A scene in which both find nothing agrees.
    """
    assert evidence.source is not None
    assert evidence.run is not None
    source, found = evidence.source.facts["boxes"], evidence.run.facts["boxes"]
    for side, boxes, outcome in (("source", source, evidence.source), ("artifact", found, evidence.run)):
        if boxes is None:
            reason = outcome.facts.get("undecoded", "no reason given")
            return CheckResult("boxes", "failed", f"the {side}'s outputs do not decode: {reason}")
    if len(found) != len(source):
        return CheckResult("boxes", "failed", f"the source sees {len(source)} images, the artifact {len(found)}")
    wanted = limits.boxes
    values: list[Value] = []
    for level, precision, recall in (
        (0.5, wanted.precision, wanted.recall),
        (0.75, wanted.precision_75, wanted.recall_75),
    ):
        matches = [polygons.match(ours, theirs, level) for ours, theirs in zip(source, found, strict=True)]
        pairs = sum(len(each.pairs) for each in matches)
        suffix = "" if level == LEVELS[0] else "_75"
        values.append(
            Value(f"precision{suffix}", _share(pairs, sum(each.found for each in matches)), precision, most=False)
        )
        values.append(
            Value(f"recall{suffix}", _share(pairs, sum(each.reference for each in matches)), recall, most=False)
        )
        if level == LEVELS[0]:
            same, overlap = matches, [iou for each in matches for *_, iou in each.pairs]
    mean = sum(overlap) / len(overlap) if overlap else 1.0
    values.append(Value("mean_iou", mean, wanted.mean_iou, most=False))
    total, ours = sum(map(len, source)), sum(map(len, found))
    values += [Value("source_count", total), Value("count", ours)]
    summary = (
        f"{total} boxes of the source in {len(source)} images, {ours} of the artifact, {len(overlap)} of them the same "
        f"(IoU >= 0.5), mean IoU {mean:.3f}"
    )
    lines: list[str] = []
    data: dict[str, Any] = {"images": [], "samples": total}
    for index, each in enumerate(same):
        lost = sorted(set(range(each.reference)) - {pair[0] for pair in each.pairs})
        new = sorted(set(range(each.found)) - {pair[1] for pair in each.pairs})
        name = _words.sample(evidence.images, index)
        data["images"].append(
            {"image": name, "source": source[index], "artifact": found[index], "lost": lost, "invented": new}
        )
        if lost or new:
            lines.append(f"{name}: {len(lost)} of {each.reference} boxes lost, {len(new)} invented")
    data["hops"] = _steps(evidence)
    details = [f"agreement: {_hops.line(data['hops'])}"] if data["hops"] else []
    details += lines[:_EXAMPLES]
    if len(lines) > _EXAMPLES:
        details.append(f"and {len(lines) - _EXAMPLES} more")
    return judge("boxes", values, summary, details, **data)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _steps(evidence: Evidence) -> list[dict[str, Any]]:
    """Share of the boxes of each step that the next one has, and the other way round: the smaller one (IoU 0.5)."""

    def compare(before: list[Any], after: list[Any]) -> tuple[float | None, str]:
        if len(before) != len(after):
            return None, "not read"
        matches = [polygons.match(a, b, LEVELS[0]) for a, b in zip(before, after, strict=True)]
        pairs = sum(len(each.pairs) for each in matches)
        most = max(sum(each.reference for each in matches), sum(each.found for each in matches))
        return _share(pairs, most), f"{_share(pairs, most):.3f}"

    return _hops.steps(evidence, "agreement", lambda run: run.facts.get("boxes"), compare)
