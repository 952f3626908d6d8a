"""A short record for a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocr_conformance.report import record, table

_MARK = {"passed": "✅", "failed": "❌", "undecided": "❔", "unsupported": "🚫", "skipped": "⏭️", "not-run": "·"}


def render(document: Mapping[str, Any]) -> str:
    """Markdown tables: one a model, verdicts, sizes, ratios and the finding of each case."""
    lines = ["# OCR conformance", ""]
    found = record.counts(document)
    lines += [", ".join(f"{count} {verdict}" for verdict, count in found.items() if count), ""]
    for model, cases in table.models(document):
        known = document["models"][model]
        lines += [
            f"## {model}",
            "",
            f"Weights {known['weights']['name']} (`{known['weights']['sha256'][:12]}`), "
            f"{known['images']['count']} {known['images']['origin']} images ({known['images']['name']}).",
            "",
            f"| route | {' | '.join(table.COLUMNS)} | finding |",
            f"|---{'|---' * (len(table.COLUMNS) + 1)}|",
        ]
        for route, members in table.routes(cases).items():
            for mode, case in members:
                cells = [*table.row(mode, case), table.finding(case)]
                cells[1] = f"{_MARK[case['verdict']]} {cells[1]}"
                lines.append(f"| {route} | {' | '.join(map(_cell, cells))} |")
        lines.append("")
        searches = table.searches(cases)
        lines += [
            *(f"- search of {name} {_cell(found)}" for name, found in searches.items()),
            *([""] if searches else ()),
        ]
    lines += [f"> {warning}" for warning in document["warnings"]]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    """A cell is one line, and bars part cells."""
    return " ".join(text.split()).replace("|", "\\|")
