"""Is it as often right as the source? Both against the same labels, compared sample by sample."""

from __future__ import annotations

from ocr_conformance import metrics
from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, tightest


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Judge the drop of accuracy by its confidence interval: all of it within the limit passes, none of it fails.

    ``undecided`` when the interval holds the limit. ``skipped`` without labels, or when the source itself reads less
    than ``accuracy.source`` of the samples (weights from a seed read nothing).
    """
    assert evidence.run is not None
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
        Value("source_accuracy", theirs),
        Value("accuracy", ours),
        Value("drop", pair.drop, limits.accuracy.drop),
    ]
    least = limits.accuracy.source
    if least is not None and theirs < least:
        message = (
            f"the source itself reads {pair.source_right} of {pair.total} labels right ({theirs:.3f} < {least:g}): "
            f"with weights {evidence.weights_name or 'of this run'} accuracy says nothing, give trained ones "
            "(--ocr-weights)"
        )
        return CheckResult("accuracy", "skipped", message, tuple(values))
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
    limit = limits.accuracy.drop
    if limit is None or drop_high <= limit:
        return CheckResult("accuracy", "passed", summary, tuple(values), tuple(details), data)
    needed = f"(the tightest that would have passed: drop = {tightest(drop_high)})"
    if drop_low > limit:
        return CheckResult(
            "accuracy", "failed", f"{summary}: drop > {limit:g} {needed}", tuple(values), tuple(details), data
        )
    message = f"{summary}: {pair.total} labels cannot tell whether it is within {limit:g} {needed}; use more images"
    return CheckResult("accuracy", "undecided", message, tuple(values), tuple(details), data)


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
