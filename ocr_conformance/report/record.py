"""The record of a run: one JSON-able document that every view is made from. `schema` says what is in it."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ocr_conformance import checks
from ocr_conformance.cases import MODES, Case
from ocr_conformance.isolation import network_of_jobs
from ocr_conformance.report.schema import SCHEMA
from ocr_conformance.results import JUDGED, VERDICTS, tightest
from ocr_conformance.toolchain import frameworks

if TYPE_CHECKING:
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.toolchain import Toolchain

_WORST = ("failed", "undecided", "unsupported", "passed", "skipped", "not-run")


def document(
    engine: Engine,
    results: Sequence[Mapping[str, Any]],
    seconds: float,
    jobs_run: int | None = None,
    started: float | None = None,
) -> dict[str, Any]:
    """The record of a run (see `ocr_conformance.report.schema`), in stable order.

    Args:
        results: ``{"case", "result", "made"}`` each; ``made`` (`Engine.made`) need only be said once of a case. Where
            another process has judged also ``worker``, ``toolchain`` and ``place``, as it sees them (see `toolchain`,
            `place`).
        jobs_run: how many jobs were really run, where other processes ran them.
        started: seconds since the epoch; ``None``: now.
    """
    by_case: dict[str, dict[str, Any]] = {}
    made: dict[str, dict[str, Any]] = {}
    for each in results:
        by_case.setdefault(each["case"], {})[each["result"]["check"]] = of_check(each["result"])
        made.setdefault(each["case"], {}).update(each.get("made") or {})
    order = {str(case): number for number, case in enumerate(engine.cases)}
    names = {name: number for number, name in enumerate(checks.CHECKS)}
    cases = sorted(by_case, key=lambda case: order.get(case, len(order)))
    used = {Case.parse(case).toolchain for case in cases}
    own = {chain.name: toolchain(chain) for chain in engine.chains if chain.name in used}
    theirs, unlike = _toolchains_of_workers(results)
    workers = {each["worker"]: each["place"] for each in results if each.get("worker")}
    run = {
        "name": "run",
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": seconds,
        "jobs_run": engine.executed if jobs_run is None else jobs_run,
        "environment": environment(engine) | ({"workers": workers} if workers else {}),
        "toolchains": own | theirs,
        "models": {case.model_id: _model(engine, case) for case in map(Case.parse, cases)},
        "warnings": [f"{claim.where} matches no case: {claim.why}" for claim in engine.stale_claims()] + unlike,
        "without_passed_mode": unproven(engine.settings, results),
    }
    return {
        "schema": SCHEMA,
        "runs": [run],
        "cases": {
            case: {
                "run": 0,
                "verdict": verdict(by_case[case].values()),
                "hops": made[case].get("hops", []),
                "artifacts": made[case].get("artifacts", []),
                "checks": dict(sorted(by_case[case].items(), key=lambda item: names.get(item[0], len(names)))),
                "explanation": finite(made[case].get("explanation")),
            }
            for case in cases
        },
        "conflicts": [],
    }


def _model(engine: Engine, case: Case) -> dict[str, Any]:
    source = engine.source(case.model, case.variant)
    measured = source.entry.contract.measured
    return {
        "kind": source.description.kind,
        "summary": source.description.summary,
        "framework": source.description.framework,
        "contract": source.entry.contract.where,
        "weights": {"name": source.weights.name, "sha256": source.weights.sha256},
        "measured_on": None if measured is None else measured.weights_sha256,
        "images": _image_set(source.images),
        "calibration": _image_set(source.calibration),
    }


def of_check(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result (`CheckResult.to_json`) as the record has it: with the tightest limit that each value keeps to."""
    values = [
        {**value, "tightest": float(tightest(value["measured"], value["most"]))}
        if math.isfinite(value["measured"])
        else {**value, "tightest": None}
        for value in result["values"]
    ]
    return finite({**result, "values": values})  # type: ignore[no-any-return]


def run_of(document: Mapping[str, Any], case: str) -> dict[str, Any]:
    """The run that a case was judged in."""
    return document["runs"][document["cases"][case]["run"]]  # type: ignore[no-any-return]


def model_of(document: Mapping[str, Any], case: str) -> dict[str, Any]:
    """A case's model as it was judged: weights, images."""
    return run_of(document, case)["models"][Case.parse(case).model_id]  # type: ignore[no-any-return]


def toolchain(chain: Toolchain) -> dict[str, Any]:
    """A toolchain as the process sees it that judges in it."""
    return {"lock_sha256": chain.lock_sha256, "versions": frameworks(chain.versions), "missing": chain.missing}


def place() -> dict[str, Any]:
    """The processor and the Python of this process: what of a worker's machine can change a number."""
    from ocr_conformance.conformance import cpu

    return {"cpu": cpu(), "python": platform.python_version()}


def _toolchains_of_workers(results: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """The toolchains that xdist's workers judged in, by name, and a warning for each that is not one and the same."""
    seen: dict[str, dict[str, Any]] = {}
    for each in results:
        if each.get("worker"):
            seen.setdefault(Case.parse(each["case"]).toolchain, {})[each["worker"]] = each["toolchain"]
    unlike = [
        f"toolchain {name} is not the same in all workers: "
        + ", ".join(f"{worker} {known['lock_sha256'][:8]}" for worker, known in sorted(by_worker.items()))
        for name, by_worker in seen.items()
        if len({known["lock_sha256"] for known in by_worker.values()}) > 1
    ]
    return {name: next(iter(by_worker.values())) for name, by_worker in seen.items()}, unlike


def environment(engine: Engine) -> dict[str, Any]:
    """What ran where: our version, pytest's, Python's, the machine and the settings that change a number."""
    settings = engine.settings
    return {
        "ocr_conformance": version(),
        "pytest": metadata.version("pytest"),
        **place(),
        "threads": settings.threads,
        "samples": settings.samples,
        "search": settings.search,
        "search_seed": settings.search_seed,
        "device": settings.device,
        "timeout_seconds": settings.timeout,
        "memory_bytes": settings.memory,
        "network_of_jobs": network_of_jobs(),
    }


def version() -> str:
    """Version of this distribution."""
    return metadata.version("pytest-ocr-conformance")


def verdict(results: Iterable[Mapping[str, Any]]) -> str:
    """The verdict of a case: the worst of its checks; ``passed`` needs at least one that passed."""
    verdicts = {result["verdict"] for result in results}
    return next(each for each in _WORST if each in verdicts)


def counts(document: Mapping[str, Any]) -> dict[str, int]:
    """How many checks ended in each verdict."""
    found: dict[str, int] = dict.fromkeys(VERDICTS, 0)
    for case in document["cases"].values():
        for result in case["checks"].values():
            found[result["verdict"]] += 1
    return found


def judged(results: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any check came to a verdict that counts."""
    return any(each["result"]["verdict"] in JUDGED for each in results)


def without_passed_mode(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Models of which modes beyond float32 were judged, and in none of them a case passed."""
    by_case: dict[str, list[Mapping[str, Any]]] = {}
    for each in results:
        by_case.setdefault(each["case"], []).append(each["result"])
    passed: dict[str, bool] = {}
    for text, checked in by_case.items():
        case = Case.parse(text)
        if case.mode != MODES[0] and any(result["verdict"] in JUDGED for result in checked):
            passed[case.model] = passed.get(case.model, False) or verdict(checked) == "passed"
    return [model for model, any_passed in passed.items() if not any_passed]


def unproven(settings: Settings, results: Iterable[Mapping[str, Any]]) -> list[str]:
    """`without_passed_mode`, unless the run was narrowed to some modes, routes or checks: then it cannot tell."""
    return [] if settings.modes or settings.routes or settings.checks else without_passed_mode(results)


def value(checks: Mapping[str, Any], check: str, name: str) -> float | None:
    """A measured value of one check of a case, if it was measured."""
    for each in checks.get(check, {}).get("values", ()):
        if each["name"] == name and each["measured"] is not None:
            return float(each["measured"])
    return None


def _image_set(images: Any) -> dict[str, Any]:
    labelled = sum(sample.label is not None or sample.words is not None for sample in images.samples)
    return {
        "name": images.name,
        "origin": images.origin,
        "count": len(images.samples),
        "labelled": labelled,
        "sha256": images.sha256,
    }


def finite(data: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {name: finite(each) for name, each in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(each) for each in data]
    return data
