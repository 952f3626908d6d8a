"""Does the same image give the same output again? An app reuses its interpreter, for other images and more threads."""

from __future__ import annotations

import math
from typing import Any

from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Worst scaled difference with a state reset before each invoke, without one, and over thread counts.

    FACTS, section 2: fused LSTM kernels keep their state; the first invoke is right and every later one reads garbage.
    """
    assert evidence.repeat is not None
    facts = evidence.repeat.facts
    scenarios: dict[str, dict[str, Any]] = facts["scenarios"]
    wanted = limits.repeatability
    groups = (
        ("max_abs", ("second-reset", "after-another-reset", "reused"), wanted.max_abs),
        ("without_reset", ("second", "after-another"), wanted.without_reset),
        ("threads", tuple(name for name in scenarios if name.startswith("threads-")), wanted.threads),
    )
    values, broken = [], []
    for name, members, limit in groups:
        present = {member: scenarios[member] for member in members if member in scenarios}
        if present:
            worst = max(present, key=lambda member: _difference(present[member]))
            values.append(Value(name, _difference(present[worst]), limit))
            if not values[-1].holds:
                broken.append(_numbers(worst, present[worst]))
    summary = f"{facts['samples']} images again and again on {facts['runtime']}"
    summary += f": {'; '.join(broken)}" if broken else " give the same output"
    details = [_line(name, scenario) for name, scenario in scenarios.items()]
    return judge("repeatability", values, summary, details)


def _difference(scenario: dict[str, Any]) -> float:
    """Scaled difference; NaN counts as infinitely far, so that ``max`` cannot pass over it."""
    scaled = float(scenario["scaled"])
    return math.inf if math.isnan(scaled) else scaled


def _numbers(name: str, scenario: dict[str, Any]) -> str:
    worst = scenario["worst"]
    return f"{name}: {worst['output']} was {worst['first']:.4g} in the first invoke and is {worst['second']:.4g}"


def _line(name: str, scenario: dict[str, Any]) -> str:
    changed = scenario.get("changed")
    texts = f", {changed} of {len(scenario['first_texts'])} texts change" if changed else ""
    if scenario["scaled"] == 0:
        return f"{name}: the same{texts}"
    first = ", ".join(f"{number:.4g}" for number in scenario["first_values"])
    second = ", ".join(f"{number:.4g}" for number in scenario["second_values"])
    return f"{name}: scaled difference {scenario['scaled']:.3g}{texts}; first invoke [{first}], then [{second}]"
