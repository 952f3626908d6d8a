"""The terminal's view: header lines, a table per model, counts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ocr_conformance import pipelines, toolchain
from ocr_conformance.report import record, table
from ocr_conformance.results import JUDGED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ocr_conformance.conformance import Engine
    from ocr_conformance.report.difference import Change

_STYLE = {
    "passed": "green", "failed": "bold red", "undecided": "bold magenta", "unsupported": "yellow",
    "skipped": "cyan", "not-run": "dim",
}  # fmt: skip
_LEAST_WIDTH = 126
_FINDING_CHARACTERS = 600


def header(engine: Engine) -> list[str]:
    """Lines for pytest's header: what is judged, with which weights, images and toolchains."""
    lines = []
    cases = engine.cases
    for model, variant in dict.fromkeys((case.model, case.variant) for case in cases):
        source = engine.source(model, variant)
        measured = source.entry.contract.measured
        other = measured is not None and measured.weights_sha256 != source.weights.sha256
        lines.append(
            f"ocr {source.model_id}: weights {source.weights.name} (sha256 {source.weights.sha256[:12]}"
            f"{'; contract measured on other weights' if other else ''}), "
            f"{len(source.images.samples)} {source.images.origin} images ({source.images.name}), "
            f"calibrated on {len(source.calibration.samples)} {source.calibration.origin} ({source.calibration.name})"
        )
    used = {case.toolchain for case in cases}
    for chain in engine.chains:
        if chain.name in used:
            shown = ", ".join(f"{name} {version}" for name, version in toolchain.frameworks(chain.versions).items())
            state = f"missing, create it with `{chain.how}`" if chain.missing else shown
            lines.append(f"ocr toolchain {chain.name}{' (here)' if chain.is_here else ''}: {state}")
    pairs = sum(len(engine.checks_of(case)) for case in cases)
    lines.append(f"ocr {len(cases)} cases, {pairs} checks; cache: {engine.settings.cache}")
    return lines


def summary(document: Mapping[str, Any], width: int, *, color: bool) -> list[str]:
    """A table per model, then the counts."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=max(width, _LEAST_WIDTH), force_terminal=color, highlight=False, emoji=False)
    for model, known, cases in table.models(document):
        console.print(f"\n{model}: {table.about(known)}", markup=False)
        console.print(_table(cases))
        _findings(console, cases)
        for name, found in table.searches(cases).items():
            console.print(f"{name} search {found}", markup=False, soft_wrap=True)
    for warning in table.warnings(document):
        console.print(f"warning: {warning}", style="yellow", markup=False)
    console.print(_counts(document), markup=False)
    for model in table.without_passed_mode(document):
        console.print(f"{model}: no mode beyond float32 passed", style="bold red", markup=False)
    if not record.judged(_flat(document)):
        console.print("nothing was judged: a run that proves nothing is no success", style="bold red", markup=False)
    return out.getvalue().splitlines()


def changes(found: Sequence[Change] | None, width: int) -> list[str]:
    """What changed since an earlier record, as a table; nothing where there was none to compare with."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from ocr_conformance.report.difference import COLUMNS

    if found is None:
        return []
    if not found:
        return ["nothing changed beyond noise"]
    out = io.StringIO()
    console = Console(file=out, width=max(width, _LEAST_WIDTH), highlight=False, emoji=False, markup=False)
    drawn = Table(box=SIMPLE, pad_edge=False)
    for heading in COLUMNS:
        drawn.add_column(heading, overflow="fold", no_wrap=heading == "case")
    for each in found:
        drawn.add_row(each.case, each.what, each.before, each.after, each.direction)
    console.print(drawn)
    return out.getvalue().splitlines()


def _flat(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"case": case, "result": result}
        for case, known in document["cases"].items()
        for result in known["checks"].values()
    ]


def _table(cases: list[tuple[str, dict[str, Any]]]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for number, heading in enumerate(table.COLUMNS):
        drawn.add_column(heading, justify="left" if number < 2 else "right", no_wrap=True)
    for route, members in table.routes(cases).items():
        drawn.add_section()
        drawn.add_row(Text(route.replace(pipelines.JOINT, f"{pipelines.JOINT}\n"), style="bold"))
        for mode, case in members:
            cells = [Text(cell) for cell in table.row(mode, case)]
            cells[0] = Text(f"  {mode}")
            cells[1].stylize(_STYLE[case["verdict"]])
            drawn.add_row(*cells)
    return drawn


def _findings(console: Console, cases: list[tuple[str, dict[str, Any]]]) -> None:
    """What made a case other than passed, one paragraph a finding; cases that share it are named together."""
    from rich.text import Text

    routes = table.routes(cases)
    several = len({route.split()[1] for route in routes}) > 1
    shared: dict[tuple[str, str], list[str]] = {}
    for route, members in routes.items():
        name, toolchain = route.split()
        for mode, case in members:
            if case["verdict"] != "passed":
                where = f"{name}/{mode}{toolchain if several else ''}"
                shared.setdefault((case["verdict"], table.finding(case)), []).append(where)
    for (verdict, finding), names in shared.items():
        text = Text(f"{', '.join(names)} ")
        text.append(verdict, style=_STYLE[verdict])
        text.append(f": {finding}")
        text.truncate(_FINDING_CHARACTERS, overflow="ellipsis")
        console.print(text)


def _counts(document: Mapping[str, Any]) -> str:
    found = record.counts(document)
    ran = sum(found[verdict] for verdict in JUDGED)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in found.items() if verdict != "not-run")
    jobs = sum(run["jobs_run"] for run in document["runs"])
    made = f"{jobs} jobs run" if jobs else "nothing converted or run"
    if ran and not jobs:
        made += ": all evidence came from the cache"
    return f"{ran} checks ran: {counted}; {made}"
