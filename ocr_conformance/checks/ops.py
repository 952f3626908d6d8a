"""Which ops and which runtime does the file need, and where would it run?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from packaging.version import InvalidVersion, Version

from ocr_conformance import metrics, targets
from ocr_conformance.cases import matches
from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult, Value


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Flex and custom ops, denied and allowed ops, the minimum runtime version, and demanded targets.

    A demanded target that could not be measured here leaves the check ``skipped``, unless something else fails it.
    """
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
    found = targets.evaluate(facts, xnnpack=_xnnpack(evidence), micro=_micro(evidence))
    problems += [_lacking(found[name]) for name in wanted.targets or () if found[name].runs is False]
    unmeasured = [found[name] for name in wanted.targets or () if found[name].runs is None]
    values = [Value(kind, len(by_kind[kind])) for kind in by_kind]
    xnnpack, micro = found["xnnpack"].shares, found["micro"].data
    if "ops" in xnnpack:
        values.append(Value("xnnpack_ops", xnnpack["ops"]))
    if "macs" in xnnpack:
        values.append(Value("xnnpack_macs", xnnpack["macs"]))
    if "arena_bytes" in micro:
        values.append(Value("micro_arena", micro["arena_bytes"], unit=" B"))
    total = sum(op["count"] for op in facts["ops"])
    summary = (
        f"{total} ops of {len(names)} kinds ({len(by_kind['flex'])} Flex, {len(by_kind['custom'])} custom), "
        f"minimum runtime {runtime or 'not written'}"
    )
    details = [f"{op['name']} version {op['version']} ({op['kind']}): {op['count']}" for op in facts["ops"]]
    details += [line for target in found.values() for line in _lines(target)]
    verdict: Any = "failed" if problems else "skipped" if unmeasured else "passed"
    problems += [
        f"the contract demands target {each.name}, which was not measured: {each.summary}" for each in unmeasured
    ]
    data = {"ops": facts["ops"], "targets": {name: target.to_json() for name, target in found.items()}}
    return CheckResult("ops", verdict, "; ".join((*problems, summary)), tuple(values), tuple(details), data)


def _listed(name: str, patterns: Sequence[str]) -> bool:
    """Unlike `matches`, an empty list names nothing."""
    return bool(patterns) and matches(name, tuple(patterns))


def _within(runtime: str, most: str) -> bool:
    try:
        return Version(runtime) <= Version(most)
    except InvalidVersion:
        return False


def _lacking(target: targets.Target) -> str:
    """A demanded target that does not take the file: the op, the rule and its source."""
    reasons = _words.some([str(reason) for reason in target.reasons]) or target.summary
    source = f" [{target.reasons[0].source}]" if target.reasons else ""
    return f"target {target.name}: {reasons}{source}"


_SHOWN = 6
"""Reasons of a target that the details show; `CheckResult.data` has all."""


def _lines(target: targets.Target) -> list[str]:
    word = {True: "yes", False: "no", None: "not measured"}[target.runs]
    lines = [f"target {target.name}: {word}; {target.summary}"]
    lines += [f"target {target.name}: {reason} [{reason.source}]" for reason in target.reasons[:_SHOWN]]
    more = len(target.reasons) - _SHOWN
    return lines + ([f"target {target.name}: and {more} more"] if more > 0 else [])


def _xnnpack(evidence: Evidence) -> dict[str, Any]:
    outcome = evidence.xnnpack
    if outcome is None:
        return {"why": "no interpreter of this format shows what XNNPACK takes"}
    return outcome.facts if outcome.ok else {"why": f"the interpreter did not show it: {_end(outcome)}"}


def _micro(evidence: Evidence) -> dict[str, Any]:
    """What was measured in TFLite Micro, its outputs held against LiteRT's on the same inputs."""
    outcome = evidence.micro
    if outcome is None:
        return {"why": evidence.no_micro or "not tried"}
    if outcome.message == "SIGXCPU":
        return {"why": "tried, and not done within the processor time that a target gets that no contract demands"}
    if not outcome.ok:  # a crash is what it found out
        return {"runs": False, "runtime": "tflite-micro", "message": f"it ended by {_end(outcome)}"}
    facts = outcome.facts
    if not facts.get("runs"):
        return facts
    assert evidence.run is not None and evidence.inspect is not None
    given, wanted = outcome.tensors("outputs.npz"), evidence.run.tensors("outputs.npz")
    declared = {output["tensor"]: output["declared_as"] for output in evidence.run.facts["outputs"]}
    worst: tuple[float, float, str] | None = None
    for number, output in enumerate(evidence.inspect.facts["outputs"]):
        name, mine = declared[output["name"]], given[str(number)]
        if mine.shape[1:] != wanted[name].shape[1:]:
            return {
                **facts,
                "differs": f"{name} has shape {list(mine.shape[1:])}, LiteRT's {list(wanted[name].shape[1:])}",
            }
        distance = metrics.distance(wanted[name][: len(mine)], mine)
        if distance.nonfinite:
            return {**facts, "differs": f"{distance.nonfinite} numbers of {name} are NaN or infinite"}
        if worst is None or distance.cosine < worst[0]:
            worst = distance.cosine, distance.max_abs, name
    assert worst is not None
    facts = {**facts, "cosine": worst[0], "max_abs": worst[1]}
    if worst[0] < targets.AGREEMENT:
        said = (
            f"runs and computes something else than LiteRT: cosine {worst[0]:.4f} of {worst[2]} < {targets.AGREEMENT}"
        )
        return {**facts, "differs": said}
    return facts


def _end(outcome: Outcome) -> str:
    words = f"{outcome.kind} at {outcome.stage or 'start'}"
    return f"{words}: {outcome.message}" if outcome.message else words
