"""Which ops and which runtime does the file need?"""

from __future__ import annotations

from collections.abc import Sequence

from packaging.version import InvalidVersion, Version

from ocr_conformance.cases import matches
from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Flex and custom ops, denied and allowed ops, and the minimum runtime version, against the contract."""
    assert evidence.inspect is not None
    facts, wanted = evidence.inspect.facts, limits.ops
    by_kind: dict[str, list[str]] = {"builtin": [], "flex": [], "custom": []}
    for op in facts["ops"]:
        if op["name"] not in by_kind[op["kind"]]:
            by_kind[op["kind"]].append(op["name"])
    names = [name for kind in by_kind.values() for name in kind]
    problems = []
    if wanted.flex is False and by_kind["flex"]:
        problems.append(f"needs Select-TF (Flex) ops {_words.some(by_kind['flex'])}")
    if wanted.custom is not None:
        unknown = [name for name in by_kind["custom"] if not _listed(name, wanted.custom)]
        if unknown:
            problems.append(f"needs custom ops {_words.some(unknown)}")
    if wanted.denied is not None:
        denied = [name for name in names if _listed(name, wanted.denied)]
        if denied:
            problems.append(f"has denied ops {_words.some(denied)}")
    if wanted.allowed is not None:
        strange = [name for name in names if not _listed(name, wanted.allowed)]
        if strange:
            problems.append(f"has ops that are not allowed: {_words.some(strange)}")
    runtime = facts["min_runtime"]
    if runtime and wanted.runtime_max is not None and not _within(runtime, wanted.runtime_max):
        problems.append(
            f"needs runtime {runtime} > {wanted.runtime_max} (the tightest that would have passed: "
            f"runtime_max = {runtime!r})"
        )
    values = tuple(Value(kind, len(by_kind[kind])) for kind in by_kind)
    total = sum(op["count"] for op in facts["ops"])
    summary = (
        f"{total} ops of {len(names)} kinds ({len(by_kind['flex'])} Flex, {len(by_kind['custom'])} custom), "
        f"minimum runtime {runtime or 'not written'}"
    )
    details = tuple(f"{op['name']} version {op['version']} ({op['kind']}): {op['count']}" for op in facts["ops"])
    message = f"{'; '.join(problems)}; {summary}" if problems else summary
    return CheckResult("ops", "failed" if problems else "passed", message, values, details, {"ops": facts["ops"]})


def _listed(name: str, patterns: Sequence[str]) -> bool:
    """Unlike `matches`, an empty list names nothing."""
    return bool(patterns) and matches(name, tuple(patterns))


def _within(runtime: str, most: str) -> bool:
    try:
        return Version(runtime) <= Version(most)
    except InvalidVersion:
        return False
