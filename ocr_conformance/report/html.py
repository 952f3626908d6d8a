"""One self-contained page of a record: matrix, sortable list, plots, a section per case. No network, any screen."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ocr_conformance.cases import MODES, Case
from ocr_conformance.report import plots, record, table
from ocr_conformance.report.difference import COLUMNS, Change
from ocr_conformance.results import VERDICTS

_TEMPLATES = Path(__file__).with_name("templates")

_MARKS = {"passed": "✓", "failed": "✗", "undecided": "?", "unsupported": "⊘", "skipped": "↷", "not-run": "·"}
"""A verdict's sign: colour is never the only mark."""

_MEANINGS = {
    "passed": "keeps to its limits",
    "failed": "does not, or broke, or a claim no longer holds",
    "undecided": "the measurements could not tell: never a pass",
    "unsupported": "the contract says that it does not work, and it was seen to fail in that way",
    "skipped": "could not be tried here",
    "not-run": "an earlier stage failed",
}
_COLUMNS = ("case", "verdict", "KB", "of f32", "latency", "as source", "accuracy")
_LONGEST = 900
"""Pixels of an embedded picture's longer side."""


def render(document: Mapping[str, Any], changes: Sequence[Change] | None = None, *, own: bool = False) -> str:
    """The page.

    Args:
        changes: what `ocr_conformance.report.difference` found against an earlier record, where there is one.
        own: the record is of this run: pictures of scenes are read from where it says. A record that somebody else
            made must not choose which files are read.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        size=table.kilobytes,
        seconds=_seconds,
        number=_number,
        day=_day,
        short=_short,
        takes=_takes,
        decided=table.decided,
    )
    inlined = {name: Markup((_TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js")}
    counted = record.counts(document)
    page: str = environment.get_template("report.html.jinja").render(
        document=document,
        models=list(_models(document, own)),
        counts=[(verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict]],
        warnings=table.warnings(document),
        without_passed_mode=table.without_passed_mode(document),
        changes=changes,
        change_columns=COLUMNS,
        marks=_MARKS,
        meanings=_MEANINGS,
        modes=MODES,
        columns=_COLUMNS,
        style=inlined["style.css"],
        script=inlined["script.js"],
    )
    return page


def _models(document: Mapping[str, Any], own: bool) -> Iterator[dict[str, Any]]:
    for model, known, cases in table.models(document):
        routes = table.routes(cases)
        rows = []
        for route, members in routes.items():
            by_mode = {mode: (f"{model}/{_case_of(route, mode)}", case, _word(case)) for mode, case in members}
            rows.append((route, [by_mode.get(mode) for mode in MODES]))
        yield {
            "name": model,
            "about": known,
            "rows": rows,
            "plots": [(title, _data_uri(svg.encode(), "image/svg+xml")) for title, svg in plots.of_model(routes)],
            "cases": [_case(document, text, case, own) for text, case in cases],
        }


def _word(case: Mapping[str, Any]) -> str:
    """What stands in a cell of the matrix: the check that decided, where one did; the sign says which way."""
    return table.decided(case).partition(": ")[2] or str(case["verdict"])


def _case_of(route: str, mode: str) -> str:
    """``route/mode@toolchain`` of a row of `table.routes`, ``route @toolchain``."""
    name, toolchain = route.split(" @")
    return f"{name}/{mode}@{toolchain}"


def _case(document: Mapping[str, Any], text: str, case: Mapping[str, Any], own: bool) -> dict[str, Any]:
    checks = case["checks"]
    sizes = table.values(checks, "size", "bytes")
    agreement, accuracy = table.as_source(checks), table.accuracies(checks)
    ratios = table.values(checks, "latency", "ratio_to_float32")
    cells = table.row(Case.parse(text).mode, case)
    sortable = (sum(sizes) if sizes else None, _first(table.values(checks, "size", "ratio")), _first(ratios),
                _first(agreement), accuracy[0] if accuracy else None)  # fmt: skip
    explanation = case["explanation"]
    svg = plots.of_explanation(explanation) if explanation else ""
    return {
        "id": text,
        "verdict": case["verdict"],
        "decided": cells[1],
        "finding": table.finding(case),
        "row": list(zip((cells[2], cells[3], cells[4], cells[6], cells[7]), sortable, strict=True)),
        "run": record.run_of(document, text)["name"] if len(document["runs"]) > 1 else "",
        "artifacts": case["artifacts"],
        "hops": _hops(case),
        "checks": list(checks.values()),
        "claims": [(name, data["claim"]) for name in checks for _, data in _data(checks, name) if data.get("claim")],
        "ops": [(part, data["ops"], data.get("targets", {})) for part, data in _data(checks, "ops") if "ops" in data],
        "explanation": explanation,
        "sqnr": _data_uri(svg.encode(), "image/svg+xml") if svg else "",
        "pictures": list(_pictures(checks, own)),
    }


def _takes(takes: bool | None) -> str:
    """Whether a target takes a file, or a kind of op."""
    return {True: "✓ yes", False: "✗ no", None: "? not measured"}[takes]


def _data(checks: Mapping[str, Any], check: str) -> list[tuple[str, dict[str, Any]]]:
    """The data of a check; of a pipeline that of each part."""
    data = checks.get(check, {}).get("data", {})
    parts = [(part, data[part]) for part in ("detector", "recognizer") if isinstance(data.get(part), dict)]
    return parts or [("", data)]


def _hops(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each hop: how it ended, its cost, and what came of it beside the hop before."""
    said: dict[tuple[str, str], str] = {}
    for check, name in (("tensors", "max_abs"), ("text", "agreement"), ("boxes", "agreement")):
        for part, data in _data(case["checks"], check):
            for step in data.get("hops", ()):
                number = step.get(name)
                shown = step["said"] if check == "tensors" or number is None else table.percent(number)
                said[_hop_of(case, part, step["hop"]), check] = shown
    return [
        {
            **hop,
            "tensors": said.get((hop["name"], "tensors"), ""),
            "decoded": said.get((hop["name"], "text")) or said.get((hop["name"], "boxes"), ""),
        }
        for hop in case["hops"]
    ]


def _hop_of(case: Mapping[str, Any], part: str, hop: str) -> str:
    """A hop's name among the case's: those of a pipeline begin with the model of their part."""
    number = ("detector", "recognizer").index(part) if part else 0
    models = [artifact["model"] for artifact in case["artifacts"]]
    return f"{models[number]}: {hop}" if part and len(models) == 2 else hop


def _pictures(checks: Mapping[str, Any], own: bool) -> Iterator[tuple[str, str, str]]:
    """What is said of a picture, its data URI (empty: it is not here) and its path."""
    for check in checks.values():
        for _, data in _data(checks, check["check"]):
            for path in data.get("pictures") or ():
                yield f"{check['check']}: source (left) and artifact (right)", _picture(Path(path)) if own else "", path
            found = data.get("counterexample") or {}
            if found:
                png = found.get("png")
                texts = f"source {found['source']!r}, artifact {found['artifact']!r}"
                about = f"counterexample: {texts}" if isinstance(found["source"], str) else "counterexample"
                yield about, f"data:image/png;base64,{png}" if png else "", found["file"]


def _picture(path: Path) -> str:
    """A picture as a data URI, no larger than a page shows; empty where it cannot be read any more."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.thumbnail((_LONGEST, _LONGEST))
            out = io.BytesIO()
            image.convert("RGB").save(out, "WEBP", quality=80)
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
    return _data_uri(out.getvalue(), "image/webp")


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _first(values: Sequence[float]) -> float | None:
    return values[0] if values else None


def _seconds(count: float) -> str:
    return f"{count:.1f} s"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _short(sha256: str) -> str:
    return sha256[:12]


def _day(seconds: float) -> str:
    import time

    return time.strftime("%Y-%m-%d", time.gmtime(seconds)) if seconds else ""
