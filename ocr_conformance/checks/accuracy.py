"""Is it as often right as the source? Both against the same labels, compared sample by sample.

A sample is an image of a recognizer and its label; of a detector and of a pipeline it is a word of a scene, which is to
be found, or to be found and read (`ocr_conformance.icdar`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ocr_conformance import icdar, metrics
from ocr_conformance.checks import _scenes, _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult, Value, tightest

NO_TRUTH = "none of the images has a ground truth (STEM.json or gt_STEM.txt beside STEM.png)"


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Judge the drop of accuracy by its confidence interval: all of it within the limit passes, none of it fails.

    ``undecided`` when the interval holds the limit. ``failed`` when the source itself is worse on the model's own
    images than its contract says (``accuracy.reached``). ``skipped`` without labels, or when the source has less than
    ``accuracy.source`` of the samples right (weights from a seed read nothing).
    """
    assert evidence.run is not None
    sides = (evidence.source, evidence.run)
    if evidence.run_words is not None or any(
        side is not None and side.facts.get("boxes") is not None for side in sides
    ):
        try:
            return _of_scenes(evidence, evidence.run, limits)
        except _scenes.NotRead as unread:
            return CheckResult("accuracy", "failed", str(unread))
    if evidence.source is None:
        return _alone(evidence, limits)
    source, texts = evidence.source.facts["texts"], evidence.run.facts["texts"]
    if source is None or texts is None:
        side = evidence.source if source is None else evidence.run
        reason = f"the {'source' if source is None else 'artifact'}'s outputs do not decode"
        return CheckResult("accuracy", "failed", f"{reason}: {side.facts.get('undecoded', 'no reason given')}")
    labels = list(evidence.labels) or [None] * len(texts)
    pair = metrics.paired(source, texts, labels, limits.compare)
    if not pair.total:
        return CheckResult("accuracy", "skipped", "none of the images has a label (labels.tsv, or the file name)")
    ours, theirs = pair.right / pair.total, pair.source_right / pair.total
    low, high = metrics.wilson(pair.right, pair.total)
    source_low, source_high = metrics.wilson(pair.source_right, pair.total)
    values = [
        Value("source_accuracy", theirs, _promised(evidence, limits), most=False),
        Value("accuracy", ours),
        Value("drop", pair.drop, limits.accuracy.drop),
    ]
    found = f"reads {pair.source_right} of {pair.total} labels right ({theirs:.3f}"
    if (unfit := _unfit(evidence, limits, found, theirs, values)) is not None:
        return unfit
    drop_low, drop_high = metrics.drop_interval(len(pair.lost), len(pair.gained), pair.total)
    summary = (
        f"source {theirs:.3f} [{source_low:.3f}, {source_high:.3f}], artifact {ours:.3f} [{low:.3f}, {high:.3f}] of "
        f"{pair.total} labels ({limits.compare}); drop {pair.drop:.3f} [{drop_low:.3f}, {drop_high:.3f}], "
        f"{len(pair.lost)} lost, {len(pair.gained)} gained"
    )
    details = [
        f"{what}: {_words.sample(evidence.images, index)} label {labels[index]!r}, source {source[index]!r}, "
        f"artifact {texts[index]!r}"
        for what, indices in (("lost", pair.lost), ("gained", pair.gained))
        for index in indices
    ]
    data = {
        "labels": pair.total,
        "interval": {"source": [source_low, source_high], "artifact": [low, high], "drop": [drop_low, drop_high]},
    }
    result = CheckResult("accuracy", "passed", summary, tuple(values), tuple(details), data)
    return _judged(result, f"{pair.total} labels", limits)


def _promised(evidence: Evidence, limits: Limits) -> float | None:
    """What the source must have right; nothing is promised of other images, or of a handful."""
    return limits.accuracy.reached if evidence.own_images else None


def _unfit(evidence: Evidence, limits: Limits, found: str, measured: float, values: list[Value]) -> CheckResult | None:
    """The result where the source itself has too little right for a comparison; ``None``: it has enough.

    Of one that is worse than its contract says something is wrong that it shares with the artifact; of one that is
    hardly ever right there is nothing that an artifact could lose.
    """
    promised, least = _promised(evidence, limits), limits.accuracy.source
    if promised is not None and measured < promised:
        message = (
            f"the source itself {found}; the contract promises {promised:g} on these images): its preprocessing, its "
            f"decoding or its weights are wrong (the tightest that would have passed: "
            f"reached = {tightest(measured, most=False)})"
        )
        return CheckResult("accuracy", "failed", message, tuple(values))
    if least is not None and measured < least:
        message = (
            f"the source itself {found} < {least:g}): with weights {evidence.weights_name or 'of this run'} accuracy "
            "says nothing, give trained ones (--ocr-weights)"
        )
        return CheckResult("accuracy", "skipped", message, tuple(values))
    return None


def _judged(result: CheckResult, samples: str, limits: Limits) -> CheckResult:
    """The result with the verdict that the interval of the drop gives."""
    low, high = result.data["interval"]["drop"]
    limit = limits.accuracy.drop
    if limit is None or high <= limit:
        return result
    needed = f"(the tightest that would have passed: drop = {tightest(high)})"
    if low > limit:
        return replace(result, verdict="failed", message=f"{result.message}: drop > {limit:g} {needed}")
    message = f"{result.message}: {samples} cannot tell whether it is within {limit:g} {needed}; use more images"
    return replace(result, verdict="undecided", message=message)


def _alone(evidence: Evidence, limits: Limits) -> CheckResult:
    """The accuracy of a file whose source is not at hand: shown with its interval, held against nothing."""
    assert evidence.run is not None
    texts = evidence.run.facts["texts"]
    if texts is None:
        reason = evidence.run.facts.get("undecoded", "no reason given")
        return CheckResult("accuracy", "failed", f"the artifact's outputs do not decode: {reason}")
    pair = metrics.paired(texts, texts, list(evidence.labels), limits.compare)
    if not pair.total:
        return CheckResult("accuracy", "skipped", "none of the images has a label (labels.tsv, or the file name)")
    low, high = metrics.wilson(pair.right, pair.total)
    message = f"reads {pair.right} of {pair.total} labels ({pair.right / pair.total:.4f} [{low:.4f}, {high:.4f}])"
    return CheckResult(
        "accuracy", "passed", f"{message}; no source to compare with", (Value("accuracy", pair.right / pair.total),)
    )


# --- scenes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """What the source or the artifact makes of the scenes whose words are known (by their index)."""

    boxes: list[list[_scenes.Polygon]]
    """Of all scenes."""
    texts: list[list[str]] | None
    """Of a pipeline."""
    found: dict[int, icdar.Scene]
    """Which words it finds."""
    right: dict[int, icdar.Scene]
    """Of a pipeline, which it finds and reads; else as ``found``."""

    @property
    def score(self) -> icdar.Score:
        return icdar.total(self.right.values())

    @property
    def words(self) -> set[tuple[int, int]]:
        """The (scene, word) that are right."""
        return {(index, word) for index, scene in self.right.items() for word in scene.right}

    def made_of(self, index: int, word: int) -> str:
        """What became of a word, for a message."""
        box = dict(self.right[index].pairs).get(word)
        if box is None:
            return "not found"
        return "found" if self.texts is None else repr(self.texts[index][box])


def _side(evidence: Evidence, detected: Outcome, read: Outcome | None, who: str, limits: Limits) -> _Side:
    boxes = _scenes.boxes(detected, who)
    if evidence.truth and len(evidence.truth) != len(boxes):
        raise _scenes.NotRead(f"there are {len(evidence.truth)} images, and the {who} sees {len(boxes)}")
    truth = {index: words for index, words in enumerate(evidence.truth) if words is not None}
    found = {index: icdar.detection(words, boxes[index]) for index, words in truth.items()}
    if read is None:
        return _Side(boxes, None, found, found)
    texts = _scenes.texts(read, f"{who}'s recognizer", boxes)
    right = {
        index: icdar.end_to_end(words, boxes[index], texts[index], limits.compare) for index, words in truth.items()
    }
    return _Side(boxes, texts, found, right)


def _of_scenes(evidence: Evidence, run: Outcome, limits: Limits) -> CheckResult:
    """Recall, precision and their harmonic mean of both sides; the drop is that of recall, judged word by word.

    Of a pipeline a word is right that is found and read; what is found alone stands beside it.

    Raises:
        NotRead: what one side found cannot be held against anything.
    """
    reads = evidence.run_words is not None
    if not reads and evidence.source_words is not None:
        return CheckResult("accuracy", "skipped", "run_words could not be had here")
    ours = _side(evidence, run, evidence.run_words, "artifact", limits)
    theirs = None
    # Without what its source reads a pipeline has as little to be compared with as without any source.
    if evidence.source is not None and reads == (evidence.source_words is not None):
        theirs = _side(evidence, evidence.source, evidence.source_words, "source", limits)
    if not ours.found:
        return CheckResult("accuracy", "skipped", NO_TRUTH)
    values = []
    for name in ("recall", "precision", "hmean"):
        if theirs is not None:
            limit = _promised(evidence, limits) if name == "hmean" else None
            values.append(Value(f"source_{name}", getattr(theirs.score, name), limit, most=False))
        values.append(Value(name, getattr(ours.score, name)))
    if reads:
        values += [Value("source_found", icdar.total(theirs.found.values()).recall)] if theirs is not None else []
        values.append(Value("found", icdar.total(ours.found.values()).recall))
    total, images = ours.score.words, len(ours.found)
    if not total:
        boxes = f"{ours.score.boxes} boxes of the artifact"
        boxes += f" and {theirs.score.boxes} of the source" if theirs is not None else ""
        what = "word with a text" if reads else "word"
        message = f"in {images} images with a ground truth no {what} counts, so none can be lost; {boxes} count"
        return CheckResult("accuracy", "skipped", message, tuple(values))
    summary, interval = _shown(ours.score)
    verb, how = ("find and read", f", {limits.compare}") if reads else ("find", "")
    task = f"to {verb} {total} words in {images} images (ICDAR 2015: IoU > {icdar.IOU:g}{how})"
    if theirs is None:
        return CheckResult("accuracy", "passed", f"{task}: {summary}; no source to compare with", tuple(values))
    lost, gained = theirs.words - ours.words, ours.words - theirs.words
    drop = (len(lost) - len(gained)) / total
    values.append(Value("drop", drop, limits.accuracy.drop))
    # Not recall: boxes all over hit words by chance.
    hmean = theirs.score.hmean
    said = f"has {theirs.score.right} of {total} words with {theirs.score.boxes} boxes right (hmean {hmean:.3f}"
    if (unfit := _unfit(evidence, limits, said, hmean, values)) is not None:
        return unfit
    before, source_interval = _shown(theirs.score)
    drop_interval = list(metrics.drop_interval(len(lost), len(gained), total))
    details = [
        f"{what}: {_words.sample(evidence.images, index)} {_label(evidence, index, word)}, source "
        f"{theirs.made_of(index, word)}, artifact {ours.made_of(index, word)}"
        for what, words in (("lost", lost), ("gained", gained))
        for index, word in sorted(words)
    ]
    message = (
        f"{task}: source {before}; artifact {summary}; drop of recall {drop:.3f} [{drop_interval[0]:.3f}, "
        f"{drop_interval[1]:.3f}], {len(lost)} lost, {len(gained)} gained"
    )
    data = {
        "labels": total,
        "interval": {"source": source_interval, "artifact": interval, "drop": drop_interval},
    }
    result = CheckResult("accuracy", "passed", message, tuple(values), tuple(details), data)
    return _judged(result, f"{total} words", limits)


def _shown(score: icdar.Score) -> tuple[str, list[float]]:
    """A score for a message, and the interval of its recall."""
    low, high = metrics.wilson(score.right, score.words)
    shown = (
        f"recall {score.recall:.3f} [{low:.3f}, {high:.3f}], precision {score.precision:.3f}, hmean {score.hmean:.3f}"
    )
    return shown, [low, high]


def _label(evidence: Evidence, index: int, word: int) -> str:
    """A word by its text, and by its place in the ground truth where it has none."""
    words = evidence.truth[index]
    assert words is not None
    text = words[word].text
    return f"word {word + 1}" if text is None else f"word {word + 1} {text!r}"
