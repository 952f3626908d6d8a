"""How much memory do load and invoke take, in a fresh process?"""

from __future__ import annotations

from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Growth of resident memory against the contract's limit and, where a device is named, its ceiling."""
    assert evidence.memory is not None
    facts = evidence.memory.facts
    growth, anonymous = facts["growth_bytes"], facts["anonymous_growth_bytes"]
    values = [
        Value("growth_bytes", growth, limits.memory.growth_bytes, unit=" B"),
        Value("anonymous_growth_bytes", anonymous, unit=" B"),
    ]
    if limits.device is not None:
        values.append(Value(f"memory_bytes on {limits.device.name}", growth, limits.device.memory_bytes, unit=" B"))
    summary = (
        f"load and invoke take {_words.size(growth)} ({_words.size(anonymous)} of it not from the file, "
        f"which has {_words.size(facts['file_bytes'])})"
    )
    details = [
        f"{name}: {_words.size(facts[f'{name}_bytes'])}"
        for name in ("baseline", "after_load", "after_allocate", "after_invoke", "peak")
    ]
    if not facts["peak_reset"]:
        details.append("the peak could not be set back before loading: the growth is a lower bound")
    return judge("memory", values, summary, details)
