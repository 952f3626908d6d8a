"""What the summary tables show, independent of how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ocr_conformance.cases import MODES, Case
from ocr_conformance.report.record import model_of, value

COLUMNS = ("mode", "verdict", "size", "of f32", "latency", "to source", "as source", "accuracy")
"""Headings of `row`. Latency is the ratio to the float32 artifact, and to the source framework. ``as source`` is the
share of images that read the same, of a detector the share of the source's boxes that are found and that of the found
ones that are the source's, of a pipeline that of the source's words that are found and read the same. ``accuracy`` of
the latter two is the harmonic mean of precision and recall."""


_NAMED = 1
"""Checks that a verdict's cell names."""


def models(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]]:
    """Each model of a record as it was judged, with its cases, in the record's order.

    In a merged record a model comes as often as its weights or images differ between runs.
    """
    found: dict[tuple[str, ...], tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]] = {}
    for text, case in document["cases"].items():
        model, known = Case.parse(text).model_id, model_of(document, text)
        key = (model, known["weights"]["sha256"], known["images"]["sha256"], known["calibration"]["sha256"])
        found.setdefault(key, (known, []))[1].append((text, case))
    for (model, *_), (known, cases) in found.items():
        yield model, known, cases


def about(known: Mapping[str, Any]) -> str:
    """Whose weights a model has and what it was judged on: ``weights shipped, 64 rendered images``."""
    return f"weights {known['weights']['name']}, {known['images']['count']} {known['images']['origin']} images"


def warnings(document: Mapping[str, Any]) -> list[str]:
    """What a reader should know beside: warnings of the runs, conflicts between them."""
    found = dict.fromkeys(warning for run in document["runs"] for warning in run["warnings"])
    return [*found, *conflicts(document)]


def conflicts(document: Mapping[str, Any]) -> list[str]:
    """What merged runs do not agree on, a line a case and run."""
    runs = document["runs"]
    lines = []
    for conflict in document["conflicts"]:
        case = conflict["case"]
        shown, other = runs[document["cases"][case]["run"]]["name"], runs[conflict["record"]["run"]]["name"]
        lines.append(f"conflict: {case} in {shown} (kept) / in {other}: {'; '.join(conflict['differs'])}")
    return lines


def without_passed_mode(document: Mapping[str, Any]) -> list[str]:
    """Models of which a run has judged modes beyond float32, and none of them passed, in no other run either."""
    passed = {
        Case.parse(case).model
        for case, known in document["cases"].items()
        if known["verdict"] == "passed" and Case.parse(case).mode != MODES[0]
    }
    named = dict.fromkeys(model for run in document["runs"] for model in run["without_passed_mode"])
    return [model for model in named if model not in passed]


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
    sizes = values(checks, "size", "bytes")
    return [
        mode,
        decided(case),
        _joined(kilobytes, sizes and [sum(sizes)]),
        _joined(percent, _of_float32(sizes, values(checks, "size", "ratio"))),
        _joined(_ratio, values(checks, "latency", "ratio_to_float32")),
        _joined(_ratio, values(checks, "latency", "ratio_to_source")),
        _joined(percent, as_source(checks), " / "),
        _accuracy(checks),
    ]


def values(checks: Mapping[str, Any], check: str, name: str) -> list[float]:
    """A measured value of a check; of a pipeline's parts both, the detector's first. Half a pipeline has none."""
    if checks.get(check, {}).get("verdict") == "not-run":
        return []
    found = [value(checks, check, f"{part}{name}") for part in ("", "detector_", "recognizer_")]
    return [each for each in found if each is not None]


def as_source(checks: Mapping[str, Any]) -> list[float]:
    """Share of images that read the same; of a pipeline of words; of a detector recall and precision of boxes."""
    return (
        values(checks, "text", "agreement")
        or values(checks, "pipeline", "same")
        or [*values(checks, "boxes", "recall"), *values(checks, "boxes", "precision")]
    )


def accuracies(checks: Mapping[str, Any]) -> tuple[float, float] | None:
    """Accuracy of artifact and source, of scenes their hmean; ``None`` where it was not judged."""
    if checks.get("accuracy", {}).get("verdict") == "skipped":
        return None
    for name in ("accuracy", "hmean"):
        ours, theirs = value(checks, "accuracy", name), value(checks, "accuracy", f"source_{name}")
        if ours is not None and theirs is not None:
            return ours, theirs
    return None


def _joined(show: Callable[[float], str], values: Sequence[float], sign: str = "+") -> str:
    return sign.join(map(show, values))


def _of_float32(sizes: Sequence[float], ratios: Sequence[float]) -> list[float]:
    """The share of the float32 file's size; of a pipeline that of both files together."""
    if not ratios or len(sizes) != len(ratios) or not all(ratios):
        return []
    return [sum(sizes) / sum(size / ratio for size, ratio in zip(sizes, ratios, strict=True))]


def _accuracy(checks: Mapping[str, Any]) -> str:
    found = accuracies(checks)
    return "" if found is None else f"{percent(found[0])} of {percent(found[1])}"


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


def searches(cases: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """What searches found, by ``route/mode@toolchain``; of a case whose finding says it only the picture's file."""
    found = {}
    for text, case in cases:
        result = case["checks"].get("search", {"verdict": "not-run"})
        if result["verdict"] == "not-run":
            continue
        parsed = Case.parse(text)
        name = f"{parsed.route}/{parsed.mode}@{parsed.toolchain}"
        if result["message"] not in finding(case):
            found[name] = f"{result['verdict']}: {result['message']}"
        elif counterexample := result["data"].get("counterexample"):
            found[name] = f"picture: {counterexample['file']}"
    return found


def kilobytes(size: float) -> str:
    """``8,666 KB``; a KB is 1024 bytes."""
    return f"{size / 1024:,.{0 if size >= 10240 else 1}f} KB"


def percent(share: float) -> str:
    """``97.5 %``."""
    return f"{share * 100:.3g} %"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}x"
