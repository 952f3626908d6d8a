"""The record of a run: one JSON-able document that every view is made from."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ocr_conformance.cases import MODES, Case
from ocr_conformance.results import JUDGED, VERDICTS

if TYPE_CHECKING:
    from ocr_conformance.conformance import Engine, Settings

SCHEMA = 1
"""Version of the document's shape; a reader refuses what it does not know."""

_WORST = ("failed", "undecided", "unsupported", "passed", "skipped", "not-run")


def document(
    engine: Engine, results: Sequence[Mapping[str, Any]], seconds: float, jobs_run: int | None = None
) -> dict[str, Any]:
    """The record of a run, in stable order: environment, models, and every case with its checks.

    Args:
        results: ``{"case", "result"}`` each.
        jobs_run: how many jobs were really run, where other processes ran them.
    """
    by_case: dict[str, dict[str, Any]] = {}
    for each in results:
        by_case.setdefault(each["case"], {})[each["result"]["check"]] = finite(each["result"])
    order = {str(case): number for number, case in enumerate(engine.cases)}
    cases = sorted(by_case, key=lambda case: order.get(case, len(order)))
    models = {}
    for case in map(Case.parse, cases):
        source = engine.source(case.model, case.variant)
        measured = source.entry.contract.measured
        models[case.model_id] = {
            "summary": source.description.summary,
            "framework": source.description.framework,
            "contract": source.entry.contract.where,
            "weights": {"name": source.weights.name, "sha256": source.weights.sha256},
            "measured_on": None if measured is None else measured.weights_sha256,
            "images": _image_set(source.images),
            "calibration": _image_set(source.calibration),
        }
    used = {Case.parse(case).toolchain for case in cases}
    return {
        "schema": SCHEMA,
        "environment": environment(engine),
        "toolchains": {
            chain.name: {
                "lock_sha256": chain.lock_sha256,
                "versions": frameworks(chain.versions),
                "missing": chain.missing,
            }
            for chain in engine.chains
            if chain.name in used
        },
        "models": models,
        "cases": {case: {"verdict": verdict(by_case[case].values()), "checks": by_case[case]} for case in cases},
        "warnings": [f"{claim.where} matches no case: {claim.why}" for claim in engine.stale_claims()],
        "seconds": seconds,
        "jobs_run": engine.executed if jobs_run is None else jobs_run,
        "without_passed_mode": unproven(engine.settings, results),
    }


def environment(engine: Engine) -> dict[str, Any]:
    """What ran where: our version, pytest's, Python's, the machine and the settings that change a number."""
    from ocr_conformance.conformance import cpu

    settings = engine.settings
    return {
        "ocr_conformance": version(),
        "pytest": metadata.version("pytest"),
        "python": platform.python_version(),
        "cpu": cpu(),
        "threads": settings.threads,
        "samples": settings.samples,
        "search": settings.search,
        "search_seed": settings.search_seed,
        "device": settings.device,
        "timeout_seconds": settings.timeout,
        "memory_bytes": settings.memory,
    }


def version() -> str:
    """Version of this distribution."""
    return metadata.version("pytest-ocr-conformance")


_SHOWN = ("tensorflow", "tensorflow-cpu", "keras", "tf-keras", "keras-ocr", "torch", "onnx", "onnx-tf", "onnx2tf",
          "litert-torch", "ai-edge-litert", "litert-quantizer", "tflite-micro", "numpy")  # fmt: skip


def frameworks(versions: Mapping[str, str]) -> dict[str, str]:
    """The distributions of a toolchain that a reader looks for."""
    return {name: versions[name] for name in _SHOWN if name in versions}


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
