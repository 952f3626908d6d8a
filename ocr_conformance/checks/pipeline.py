"""Does it find and read the same words as the source? Words match by their boxes, then their texts are compared."""

from __future__ import annotations

from typing import Any

from ocr_conformance import metrics, polygons
from ocr_conformance.checks import _scenes, _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge

IOU = 0.5
"""Intersection over union from which two boxes hold the same word: as in the check ``boxes``."""
_EXAMPLES = 10


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Share of the source's words that are found and read the same, character errors, words lost and invented.

    What the recognizer's artifact makes of the source's own boxes stands beside it: what differs there is the
    recognizer's doing, the rest comes with the boxes. Scenes in which both find nothing agree.
    """
    assert evidence.source is not None and evidence.source_words is not None
    assert evidence.run is not None and evidence.run_words is not None
    assert evidence.cross_words is not None
    try:
        source, found = _scenes.boxes(evidence.source, "source"), _scenes.boxes(evidence.run, "artifact")
        _scenes.same_images(source, found)
        theirs = _scenes.texts(evidence.source_words, "source recognizer", source)
        ours = _scenes.texts(evidence.run_words, "recognizer's artifact", found)
        crossed = _scenes.texts(evidence.cross_words, "recognizer's artifact on the source's boxes", source)
    except _scenes.NotRead as reason:
        return CheckResult("pipeline", "failed", str(reason))
    reference: list[str] = []  # what was read, pair by pair: a lost word became nothing, an invented one was nothing
    became: list[str] = []
    same = changed = lost = invented = 0
    images: list[dict[str, Any]] = []
    lines: list[str] = []
    for index, (their_boxes, our_boxes) in enumerate(zip(source, found, strict=True)):
        before, after = theirs[index], ours[index]
        pairs = [(a, b) for a, b, _ in polygons.match(their_boxes, our_boxes, IOU).pairs]
        gone = sorted(set(range(len(before))) - {a for a, _ in pairs})
        new = sorted(set(range(len(after))) - {b for _, b in pairs})
        differing = [[a, b] for a, b in pairs if before[a] != after[b]]
        reference += [before[a] for a, _ in pairs] + [before[a] for a in gone] + [""] * len(new)
        became += [after[b] for _, b in pairs] + [""] * len(gone) + [after[b] for b in new]
        same, changed = same + len(pairs) - len(differing), changed + len(differing)
        lost, invented = lost + len(gone), invented + len(new)
        name = _words.sample(evidence.images, index)
        images.append(
            {
                "image": name,
                "source": _listed(their_boxes, before),
                "artifact": _listed(our_boxes, after),
                "lost": gone,
                "invented": new,
                "changed": differing,
            }
        )
        notes = [f"{before[a]!r} became {after[b]!r}" for a, b in differing]
        notes += [f"{before[a]!r} lost" for a in gone] + [f"{after[b]!r} invented" for b in new]
        if notes:
            lines.append(f"{name}: {_words.some(notes)}")
    total, total_ours = sum(map(len, theirs)), sum(map(len, ours))
    crossed_same = sum(
        a == b for before, after in zip(theirs, crossed, strict=True) for a, b in zip(before, after, strict=True)
    )
    wanted = limits.pipeline
    cer = metrics.cer(reference, became)
    values = [
        Value("same", _scenes.share(same, total), wanted.same, most=False),
        Value("cer", cer, wanted.cer),
        Value("lost", lost / max(total, 1), wanted.lost),
        Value("invented", invented / max(total_ours, 1), wanted.invented),
        Value("same_text_on_source_boxes", _scenes.share(crossed_same, total)),
    ]
    if total:
        summary = (
            f"{total} words of the source in {len(source)} images, {total_ours} of the artifacts: {same} found and "
            f"read the same ({same / total:.3f}), {changed} found and read otherwise, {lost} lost, {invented} "
            f"invented; CER {cer:.3f}; on the source's own boxes the recognizer reads {crossed_same} of {total} the "
            "same"
        )
    else:
        summary = f"the source finds no words in {len(source)} images, the artifacts {total_ours or 'none either'}"
    details = lines[:_EXAMPLES]
    if len(lines) > _EXAMPLES:
        details.append(f"and {len(lines) - _EXAMPLES} more images")
    return judge("pipeline", values, summary, details, images=images, samples=total)


def _listed(boxes: list[_scenes.Polygon], texts: list[str]) -> list[dict[str, Any]]:
    return [{"polygon": polygon, "text": text} for polygon, text in zip(boxes, texts, strict=True)]
