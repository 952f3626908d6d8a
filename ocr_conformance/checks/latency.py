"""How fast is it beside the float32 artifact and the source? By ratio, interleaved, with a confidence interval."""

from __future__ import annotations

import math

from ocr_conformance import metrics
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, Verdict, tightest


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Judge each ratio, and the ceiling of the named device, by intervals: within passes, beyond fails.

    ``undecided`` when one of the intervals holds its limit (and none is beyond). Ratios are of processor time with one
    thread, which other processes disturb less, and of wall time with several, where processor time adds up.
    """
    assert evidence.latency is not None
    facts = evidence.latency.facts
    threads = facts["threads"]
    unit = "_cpu_ms" if threads == 1 else "_ms"
    wall, wall_low, wall_high = metrics.median_interval(facts["artifact_ms"])
    device = limits.device
    findings: list[tuple[str, float, float, float, float | None, str]] = []
    for name, reference, limit in (
        ("ratio_to_float32", "float32", limits.latency.ratio_to_float32),
        ("ratio_to_source", "source", limits.latency.ratio_to_source),
    ):
        if facts.get(f"{reference}_ms"):
            # A processor clock that ticks too coarsely for a small network gives zeros: then wall time must do.
            ours, theirs = facts[f"artifact{unit}"], facts[f"{reference}{unit}"]
            if min(*ours, *theirs) <= 0:
                ours, theirs = facts["artifact_ms"], facts[f"{reference}_ms"]
            findings.append((name, *metrics.ratio_interval(ours, theirs), limit, ""))
    if device is not None:
        findings.append((f"latency_ms on {device.name}", wall, wall_low, wall_high, device.latency_ms, " ms"))
    values = [Value("latency_ms", wall, unit=" ms")] if device is None else []
    verdict: Verdict = "passed"
    parts, needed = [f"{wall:.3g} ms an invoke, {threads} thread{'s' if threads != 1 else ''}"], []
    for name, middle, low, high, limit, suffix in findings:
        values.append(Value(name, middle, limit, unit=suffix))
        shown = f"{name.replace('_', ' ')} {middle:.3g}{suffix} [{low:.3g}, {high:.3g}]"
        if limit is not None and not high <= limit:
            needed.append(f"{name} = {tightest(high) if math.isfinite(high) else high}")
            beyond = low > limit
            shown += f" > {limit:g}" if beyond else f" cannot be told from {limit:g}"
            if beyond:
                verdict = "failed"
            elif verdict == "passed":
                verdict = "undecided"
        parts.append(shown)
    message = ", ".join(parts)
    if needed:
        message += f" (the tightest that would have passed: {', '.join(needed)})"
    load = [f"{one:.2g}" for one in facts.get("load") or () if one is not None]
    details = [
        f"{facts['rounds']} rounds in turns, stopped by {facts['stopped']}, on {facts['runtime']}"
        + (f", load average {' to '.join(load)}" if load else "")
    ]
    if facts.get("source_timed"):
        details.append(f"the source was timed through its {facts['source_timed']}")
    intervals = {name: [low, high] for name, _, low, high, _, _ in findings}
    data = {"intervals": {"latency_ms": [wall_low, wall_high], **intervals}, "clock": unit.strip("_")}
    return CheckResult("latency", verdict, message, tuple(values), tuple(details), data)
