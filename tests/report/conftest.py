"""A record made by hand: what a run of two routes and two toolchains could say."""

from __future__ import annotations

from typing import Any

import pytest

from ocr_conformance.report import record
from ocr_conformance.results import CheckResult, Value, Verdict


def result(check: str, verdict: Verdict, message: str = "", **values: float) -> dict[str, Any]:
    return record.of_check(judged(check, verdict, message, **values))


def judged(check: str, verdict: Verdict, message: str = "", **values: float) -> dict[str, Any]:
    """A result as a test's report carries it."""
    measured = tuple(Value(name, number) for name, number in values.items())
    return CheckResult(check, verdict, message, measured).to_json()


def case(*results: dict[str, Any]) -> dict[str, Any]:
    checks = {each["check"]: each for each in results}
    made: dict[str, Any] = {"hops": [], "artifacts": [], "explanation": None}
    return {"run": 0, "verdict": record.verdict(results), "checks": checks, **made}


@pytest.fixture
def document() -> dict[str, Any]:
    images = {"name": "words", "origin": "synthetic", "count": 64, "labelled": 64, "sha256": "c" * 64}
    run = {
        "name": "run",
        "started": "2026-11-25T22:17:43Z",
        "seconds": 1.5,
        "jobs_run": 3,
        "environment": {
            "ocr_conformance": "0.1.0",
            "pytest": "9.2.0",
            "python": "3.11.7",
            "cpu": {"machine": "x86_64", "model": "a processor", "features": "f" * 16},
            "threads": 1,
            "device": None,
            "network_of_jobs": "loopback",
        },
        "toolchains": {"modern": {"lock_sha256": "b" * 64, "versions": {"tensorflow": "2.21.0"}, "missing": ""}},
        "models": {
            "m": {
                "kind": "recognizer",
                "summary": "s",
                "framework": "keras",
                "contract": "contract.toml",
                "weights": {"name": "seeded", "sha256": "a" * 64},
                "measured_on": None,
                "images": images,
                "calibration": images,
            }
        },
        "warnings": ["contract.toml:9 matches no case: it crashed once"],
        "without_passed_mode": ["m"],
    }
    return {
        "schema": record.SCHEMA,
        "runs": [run],
        "cases": {
            "m/tf-lite/int8@modern": case(
                result("conversion", "passed"),
                result("tensors", "failed", "max_abs 0.4 > 0.1 | at frame 3\nand more"),
                result("text", "failed", "agreement 0.2"),
                result("size", "failed", "too large"),
            ),
            "m/tf-lite/float32@modern": case(
                result("conversion", "passed"),
                result("size", "passed", bytes=8_874_000.0, ratio=1.0),
                result("latency", "passed", ratio_to_float32=1.0, ratio_to_source=0.456),
                result("text", "passed", agreement=0.984375),
                result("accuracy", "passed", accuracy=0.5, source_accuracy=0.75),
            ),
            "m/tf-lite/int8@tf215": case(result("accuracy", "undecided", "64 labels cannot tell")),
            "m/unrolled/int16x8@modern": case(
                result("conversion", "unsupported", "crashes"), result("text", "not-run", "see conversion")
            ),
            "m/unrolled/float16@modern": case(result("conversion", "skipped", "create it with `x`")),
        },
        "conflicts": [],
    }
