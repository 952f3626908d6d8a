"""How fast is it beside the float32 artifact and the source? By ratio, interleaved, with a confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ocr_conformance import metrics
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import LATENCY_SECONDS, Evidence
from ocr_conformance.results import CheckResult, Value, Verdict, tightest

CONFIDENCE = 1 - (1 - metrics.CONFIDENCE) / len(LATENCY_SECONDS)
"""Of the interval of one look. Whoever looks again until something is decided can err at each look (Armitage, McPherson
and Rowe, "Repeated significance tests on accumulating data", JRSS A 132, 1969): the 5 % are shared by the looks that
there may be (Dunn, "Multiple comparisons among means", JASA 56, 1961)."""


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Judge each ratio, and the ceiling of the named device, by intervals: within passes, beyond fails.

    ``undecided`` when one of the intervals holds its limit (and none is beyond); the engine then looks again, as often
    as `LATENCY_SECONDS` has entries, and all looks so far are judged together. Ratios are of processor time with one
    thread, which other processes disturb less, and of wall time with several, where processor time adds up.
    """
    assert evidence.latency is not None
    looks = [outcome.facts for outcome in (evidence.latency, *evidence.more_latency)]
    facts = looks[0]
    threads = facts["threads"]
    unit = "_cpu_ms" if threads == 1 else "_ms"
    blocks = [count for look in looks for count in look.get("blocks") or [1] * look["rounds"]]
    walls = metrics.block_medians(_all(looks, "artifact_ms"), blocks)
    wall, wall_low, wall_high = metrics.median_interval(walls, CONFIDENCE)
    device = limits.device
    findings: list[tuple[str, float, float, float, float | None, str]] = []
    for name, reference, limit in (
        ("ratio_to_float32", "float32", limits.latency.ratio_to_float32),
        ("ratio_to_source", "source", limits.latency.ratio_to_source),
    ):
        if all(look.get(f"{reference}_ms") for look in looks):
            # A processor clock that ticks too coarsely for a small network gives zeros: then wall time must do.
            ours, theirs = _all(looks, f"artifact{unit}"), _all(looks, f"{reference}{unit}")
            if min(*ours, *theirs) <= 0:
                ours, theirs = _all(looks, "artifact_ms"), _all(looks, f"{reference}_ms")
            findings.append((name, *metrics.ratio_interval(ours, theirs, blocks, CONFIDENCE), limit, ""))
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
    if len(looks) > 1:
        message += f", in {len(looks)} looks"
    if needed:
        message += f" (the tightest that would have passed: {', '.join(needed)})"
    details = [_line(look) for look in looks]
    if facts.get("source_timed"):
        details.append(f"the source was timed through its {facts['source_timed']}")
    intervals = {name: [low, high] for name, _, low, high, _, _ in findings}
    data = {
        "intervals": {"latency_ms": [wall_low, wall_high], **intervals},
        "clock": unit.strip("_"),
        "looks": len(looks),
        "rounds": sum(look["rounds"] for look in looks),
    }
    return CheckResult("latency", verdict, message, tuple(values), tuple(details), data)


def _all(looks: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [value for look in looks for value in look[name]]


def _line(look: dict[str, Any]) -> str:
    """How one look went."""
    blocks = f" in {len(look['blocks'])} blocks" if look.get("blocks") else ""
    load = [f"{one:.2g}" for one in look.get("load") or () if one is not None]
    return f"{look['rounds']} rounds in turns{blocks}, stopped by {look['stopped']}, on {look['runtime']}" + (
        f", load average {' to '.join(load)}" if load else ""
    )
