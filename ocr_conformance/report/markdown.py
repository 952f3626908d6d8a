"""A short record for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ocr_conformance.report import record, table
from ocr_conformance.report.difference import COLUMNS, Change

_MARK = {"passed": "✅", "failed": "❌", "undecided": "❔", "unsupported": "🚫", "skipped": "⏭️", "not-run": "·"}
_DIRECTION = {"worse": "❌ worse", "better": "✅ better", "changed": "changed"}


def render(document: Mapping[str, Any], changes: Sequence[Change] | None = None) -> str:
    """A table a model with verdicts, sizes and ratios; what made a case other than passed stands folded below it.

    Args:
        changes: against an earlier record, where there is one: they come first.
    """
    lines = ["# OCR conformance", ""]
    found = record.counts(document)
    lines += [", ".join(f"{count} {verdict}" for verdict, count in found.items() if count), ""]
    if changes is not None:
        lines += ["## Changes", "", *_changes(changes), ""]
    for model, known, cases in table.models(document):
        lines += [
            f"## {_line(model)}",
            "",
            f"Weights {_line(known['weights']['name'])} (`{known['weights']['sha256'][:12]}`), "
            f"{known['images']['count']} {known['images']['origin']} images ({_line(known['images']['name'])}).",
            "",
            *_table(("route", *table.COLUMNS), _rows(cases)),
            "",
        ]
        findings = [(text, table.finding(case)) for text, case in cases if case["verdict"] != "passed"]
        findings += [(f"search of {name}", found) for name, found in table.searches(cases).items()]
        if findings:
            lines += [f"<details><summary>{len(findings)} findings</summary>", ""]
            lines += [f"- `{name}` {_line(finding)}" for name, finding in findings]
            lines += ["", "</details>", ""]
    lines += [f"> {_line(warning)}\n" for warning in table.warnings(document)]
    return "\n".join(lines).rstrip() + "\n"


def difference(names: tuple[str, str], changes: Sequence[Change]) -> str:
    """What changed between two records, as a page of its own."""
    return "\n".join([f"# From {names[0]} to {names[1]}", "", *_changes(changes)]).rstrip() + "\n"


def _changes(changes: Sequence[Change]) -> list[str]:
    if not changes:
        return ["Nothing changed beyond noise."]
    rows = (
        [*map(_cell, (each.case, each.what, each.before, each.after)), _DIRECTION[each.direction]] for each in changes
    )
    return _table(COLUMNS, rows)


def _rows(cases: list[tuple[str, dict[str, Any]]]) -> Iterable[list[str]]:
    for route, members in table.routes(cases).items():
        for mode, case in members:
            cells = table.row(mode, case)
            cells[1] = f"{_MARK[case['verdict']]} {cells[1]}"
            yield [f"`{route}`", *map(_cell, cells)]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _cell(text: str) -> str:
    """A cell is one line, and bars part cells."""
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    """One line that is no markup and calls nobody: a message may hold anything, ``<b>``, ``![](...)``, ``@name``."""
    plain = re.sub(r"([\\`*_\[\]])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")
    return re.sub(r"(?<!\w)@(?=\w)", "@\u2060", plain)  # a word joiner: shows nothing, and is no name any more
