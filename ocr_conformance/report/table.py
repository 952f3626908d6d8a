"""What the summary tables show, independent of how they are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ocr_conformance.cases import MODES, Case
from ocr_conformance.report.record import value

COLUMNS = ("mode", "verdict", "size", "of f32", "latency", "to source", "same text", "accuracy")
"""Headings of `row`. Latency is the ratio to the float32 artifact, and to the source framework."""


_NAMED = 1
"""Checks that a verdict's cell names."""


def models(document: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """Each model of a record with its cases, in the record's order."""
    by_model: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for text, case in document["cases"].items():
        by_model.setdefault(Case.parse(text).model_id, []).append((text, case))
    yield from by_model.items()


def routes(cases: list[tuple[str, dict[str, Any]]]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """A model's cases by ``route@toolchain``, modes in order."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for text, case in cases:
        parsed = Case.parse(text)
        found.setdefault(f"{parsed.route} @{parsed.toolchain}", []).append((parsed.mode, case))
    return {route: sorted(members, key=lambda member: MODES.index(member[0])) for route, members in found.items()}


def row(mode: str, case: Mapping[str, Any]) -> list[str]:
    """The cells of one case, after its mode: verdict, size, latency, agreement and accuracy."""
    checks = case["checks"]
    size = value(checks, "size", "bytes")
    judged = checks if checks.get("accuracy", {}).get("verdict") != "skipped" else {}
    accuracy, source = value(judged, "accuracy", "accuracy"), value(judged, "accuracy", "source_accuracy")
    return [
        mode,
        decided(case),
        "" if size is None else kilobytes(size),
        percent(value(checks, "size", "ratio")),
        _ratio(value(checks, "latency", "ratio_to_float32")),
        _ratio(value(checks, "latency", "ratio_to_source")),
        percent(value(checks, "text", "agreement")),
        "" if accuracy is None or source is None else f"{percent(accuracy)} of {percent(source)}",
    ]


def decided(case: Mapping[str, Any]) -> str:
    """The verdict, and the checks that made it what it is."""
    verdict = str(case["verdict"])
    names = [name for name, result in case["checks"].items() if result["verdict"] == verdict]
    if verdict in ("passed", "skipped", "not-run"):
        return verdict
    more = f" +{len(names) - _NAMED}" if len(names) > _NAMED else ""
    return f"{verdict}: {', '.join(names[:_NAMED])}{more}"


def finding(case: Mapping[str, Any]) -> str:
    """The message of the check that decided the verdict, and which others ended so; empty where all is well."""
    if case["verdict"] == "passed":
        return ""
    deciding = [(name, result) for name, result in case["checks"].items() if result["verdict"] == case["verdict"]]
    name, first = deciding[0]
    others = f" (also {', '.join(other for other, _ in deciding[1:])})" if len(deciding) > 1 else ""
    if case["verdict"] == "skipped":
        return str(first["message"])
    return f"{name}: {first['message']}{others}"


def kilobytes(size: float) -> str:
    """``8,666 KB``; a KB is 1024 bytes."""
    return f"{size / 1024:,.{0 if size >= 10240 else 1}f} KB"


def percent(share: float | None) -> str:
    """``97.5 %``, or nothing."""
    return "" if share is None else f"{share * 100:.3g} %"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"
