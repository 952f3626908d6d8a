"""Views of an explanation: text, one line, CSV, a plot of SQNR over depth."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.errors import UserError
from ocr_conformance.explanation import NO_DIFFERENCE_DB, decibels, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocr_conformance.explanation import Bisection, Explanation

_SHOWN = 12
"""Rows of a table that names the worst; `--all` shows every op."""

_LEAST_WIDTH = 150
_COLUMNS = ("place", "kind", "layer", "shape", "dtype", "sqnr_db", "cosine", "made_db", "alone_db", "alone_texts",
            "low", "high", "representable", "scale", "levels", "saturates", "tensor")  # fmt: skip


def text(explanation: Explanation, *, every: bool, width: int) -> str:
    """The finding, then a table: the worst ops, or every one in execution order."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=max(width, _LEAST_WIDTH), highlight=False, emoji=False, markup=False)
    facts = explanation.facts
    console.print(f"{explanation.case} beside {explanation.reference}, {facts['samples']} images")
    if explanation.note:
        console.print(explanation.note)
    console.print()
    console.print(sentence(explanation))
    console.print()
    if explanation.method == "nodes":
        console.print(f"{facts['found']} of {facts['nodes']} nodes were found in the artifact")
        rows = explanation.rows if every else _around(explanation)
        console.print(_table(rows, ("kind", "layer", "shape", "found")))
    else:
        rows = explanation.rows if every else facts["worst"][:_SHOWN]
        columns = ["place", "kind", "layer", "shape", "sqnr_db", "cosine", "made_db"]
        if explanation.method == "ops":
            columns += ["alone_db", "alone_texts", "range", "holds"]
        console.print(_table(rows, columns, mark=facts["named"]))
        for layer in facts["layers"][:_SHOWN] if not every else ():
            changed = layer["alone_texts"]
            texts = f", {changed} of {facts['alone_samples']} texts change" if changed is not None else ""
            console.print(f"{decibels(layer['alone_db']):>9}  {layer['name']} alone ({_ops(layer)}){texts}")
    console.print(
        f"{facts.get('compared', facts.get('found'))} of {facts.get('ops', facts.get('nodes'))} compared, "
        f"{explanation.seconds:.0f} s, {explanation.peak_bytes / 2**20:.0f} MB"
    )
    return out.getvalue()


def _ops(layer: dict[str, Any]) -> str:
    count = len(layer["ops"])
    return "1 op" if count == 1 else f"{count} ops"


def _around(explanation: Explanation) -> list[dict[str, Any]]:
    """The nodes about the one that is lost."""
    named = explanation.facts["named"]
    if named is None:
        return explanation.rows[-_SHOWN:]
    place = next(index for index, row in enumerate(explanation.rows) if row["name"] == named["node"])
    return explanation.rows[max(0, place - 5) : place + 5]


def _table(rows: Iterable[dict[str, Any]], columns: Iterable[str], mark: dict[str, Any] | None = None) -> Any:
    from rich.box import SIMPLE
    from rich.table import Table

    titles = {
        "place": "op", "sqnr_db": "SQNR", "made_db": "made here", "alone_db": "alone", "alone_texts": "texts",
        "range": "reference", "holds": "holds", "found": "in op",
    }  # fmt: skip
    columns = list(columns)
    drawn = Table(box=SIMPLE, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for name in columns:
        left = name in ("kind", "layer")
        drawn.add_column(titles.get(name, name), justify="left" if left else "right", no_wrap=name != "layer")
    for row in rows:
        cells = [_cell(row, name) for name in columns]
        if mark is not None and row["place"] == mark["place"]:
            cells[0] = f"> {cells[0]}"
        drawn.add_row(*cells)
    return drawn


def _cell(row: dict[str, Any], name: str) -> str:
    if name == "range":
        return f"{row['low']:.3g} .. {row['high']:.3g}" if "low" in row else ""
    if name == "holds":
        return f"{row['representable'][0]:.3g} .. {row['representable'][1]:.3g}" if "representable" in row else ""
    value = row.get(name)
    if name.endswith("_db"):
        return decibels(value) if value is not None else ""
    if name == "found":
        return "-" if value is None else str(value)
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def bisection(found: Bisection, written: Path | None) -> str:
    """What must stay float, what it costs in bytes, and where the recipe is."""
    facts = found.facts
    lines = [
        f"{found.case}: wanted is the source's text on {found.wanted:.1%} of {facts['samples']} images",
        "",
        f"everything quantized: {facts['all_agreement']:.1%}, {facts['all_bytes'] / 1024:,.0f} KB",
    ]
    if not facts["holds"]:
        best = max(facts["steps"], key=lambda step: step["agreement"])
        kept = ", ".join(best["float"])
        lines.append(f"not reached; best with {len(best['float'])} layers float ({best['agreement']:.1%}): {kept}")
    elif not facts["kept"]:
        lines.append("it holds: nothing has to stay float")
    else:
        lines.append(f"these kept float: {facts['agreement']:.1%}, {facts['bytes'] / 1024:,.0f} KB")
        lines += [f"  {each['name']} (without it {each['agreement']:.1%})" for each in facts["kept"]]
        if found.quantizer == "litert-quantizer":
            lines.append(f"as a rule: NO_QUANTIZE for {'|'.join(each['pattern'] for each in facts['kept'])}")
    lines.append(f"{len(facts['steps'])} recipes tried, {found.seconds:.0f} s")
    if written is not None:
        lines.append(f"wrote {written}")
    return "\n".join(lines)


def write_recipe(found: Bisection, path: Path) -> None:
    """Copy the quantizer's recipe.

    Raises:
        UserError: it cannot be written.
    """
    try:
        shutil.copyfile(found.folder / "recipe.json", path)
    except OSError as error:
        raise UserError(f"--recipe {path}: cannot be written ({error.strerror})") from error


def check_suffix(path: Path) -> None:
    """Before anything is run.

    Raises:
        UserError: there is no such format.
    """
    if path.suffix not in (".json", ".csv", ".png", ".svg"):
        raise UserError(f"--output {path}: expected a name that ends in .json, .csv, .png or .svg")


def write(explanation: Explanation, path: Path) -> None:
    """Write the whole table; the suffix picks the format: ``.json``, ``.csv``, and ``.png`` or ``.svg`` for a plot.

    Raises:
        UserError: another suffix, the file cannot be written, or there is nothing to plot.
    """
    check_suffix(path)
    try:
        if path.suffix == ".json":
            import json

            from ocr_conformance.report.record import finite

            path.write_text(json.dumps(finite(explanation.to_json()), indent=1, allow_nan=False) + "\n")
        elif path.suffix == ".csv":
            with path.open("w", newline="") as stream:
                columns = _COLUMNS if explanation.method != "nodes" else ("name", "kind", "layer", "shape", "found")
                table = csv.DictWriter(stream, columns, extrasaction="ignore", restval="")
                table.writeheader()
                table.writerows(explanation.rows)
        else:
            _plot(explanation, path)
    except OSError as error:
        raise UserError(f"--output {path}: cannot be written ({error.strerror})") from error


def _plot(explanation: Explanation, path: Path) -> None:
    """SQNR over depth: what is passed on, and what is made in each op."""
    if explanation.method == "nodes":
        raise UserError(f"--output {path}: nodes are found or not, there is no SQNR to plot; write .json or .csv")
    from matplotlib.figure import Figure

    rows = [row for row in explanation.rows if row["compared"]]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, label, style in (("sqnr_db", "passed on", "-"), ("made_db", "made in the op", ".")):
        seen = [row for row in rows if row[name] < NO_DIFFERENCE_DB]
        axes.plot([row["place"] for row in seen], [row[name] for row in seen], style, label=label, linewidth=1)
    named = explanation.facts["named"]
    if named is not None:
        axes.axvline(named["place"], color="tab:red", linewidth=0.8)
        axes.annotate(f"{named['kind']} {named['layer']}", (named["place"], axes.get_ylim()[1]), fontsize=8, va="top")
    axes.set_xlabel("op, in execution order")
    axes.set_ylabel("SQNR, dB (more is better)")
    axes.set_title(f"{explanation.case} beside {explanation.reference}", fontsize=9)
    axes.legend()
    figure.savefig(path)
