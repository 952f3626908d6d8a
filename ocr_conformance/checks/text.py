"""Does it read the same text as the source? Also: how far off, where first, and which words were lost or gained."""

from __future__ import annotations

from typing import Any

from ocr_conformance import metrics
from ocr_conformance.checks import _hops, _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge

_EXAMPLES = 10


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Agreement and character error rate with the source's text as reference; words lost and gained where labelled."""
    assert evidence.source is not None
    assert evidence.run is not None
    source, texts = evidence.source.facts["texts"], evidence.run.facts["texts"]
    if source is None:
        reason = evidence.source.facts.get("undecoded", "no reason given")
        return CheckResult("text", "failed", f"the source's own outputs do not decode: {reason}")
    if texts is None:
        reason = evidence.run.facts.get("undecoded", "no reason given")
        return CheckResult("text", "failed", f"the artifact's outputs do not decode: {reason}")
    if len(texts) != len(source):
        return CheckResult("text", "failed", f"the source reads {len(source)} samples, the artifact {len(texts)}")
    wanted = limits.text
    agreement, cer = metrics.agreement(source, texts), metrics.cer(source, texts)
    values = [
        Value("agreement", agreement, wanted.agreement, most=False),
        Value("cer", cer, wanted.cer),
    ]
    differing = [index for index, text in enumerate(texts) if text != source[index]]
    same = len(texts) - len(differing)
    summary = f"reads the source's text on {same} of {len(texts)} images (agreement {agreement:.3f}), CER {cer:.3f}"
    data: dict[str, Any] = {
        "samples": len(texts),
        "differences": [[_words.sample(evidence.images, index), source[index], texts[index]] for index in differing],
    }
    labelled = metrics.paired(source, texts, _labels(evidence), limits.compare)
    if labelled.total:
        values.append(Value("lost", len(labelled.lost) / labelled.total, wanted.lost))
        values.append(Value("gained", len(labelled.gained) / labelled.total))
        summary += f", {len(labelled.lost)} words lost and {len(labelled.gained)} gained of {labelled.total}"
        data["lost"] = [_words.sample(evidence.images, index) for index in labelled.lost]
        data["gained"] = [_words.sample(evidence.images, index) for index in labelled.gained]
    if differing:
        summary += f"; first difference {_example(evidence, source, texts, differing[0])}"
    data["hops"] = _steps(evidence)
    details = [f"agreement: {_hops.line(data['hops'])}"] if data["hops"] else []
    details += [_example(evidence, source, texts, index) for index in differing[:_EXAMPLES]]
    if len(differing) > _EXAMPLES:
        details.append(f"and {len(differing) - _EXAMPLES} more")
    return judge("text", values, summary, details, **data)


def _labels(evidence: Evidence) -> list[str | None]:
    assert evidence.run is not None
    return list(evidence.labels) or [None] * len(evidence.run.facts["texts"])


def _example(evidence: Evidence, source: list[str], texts: list[str], index: int) -> str:
    position = metrics.first_difference(source[index], texts[index])
    assert position is not None
    label = evidence.labels[index] if index < len(evidence.labels) else None
    truth = f", label {label!r}" if label is not None else ""
    name = _words.sample(evidence.images, index)
    return f"{name}: {source[index]!r} became {texts[index]!r} (character {position + 1}{truth})"


def _steps(evidence: Evidence) -> list[dict[str, Any]]:
    """Text agreement of each hop with the one before."""

    def compare(before: list[str], after: list[str]) -> tuple[float | None, str]:
        if len(before) != len(after):
            return None, "not read"
        agreement = metrics.agreement(before, after)
        return agreement, f"{agreement:.3f}"

    return _hops.steps(evidence, "agreement", lambda run: run.facts.get("texts"), compare)
