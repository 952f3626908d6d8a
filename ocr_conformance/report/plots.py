"""Plots of a record as SVG: size, latency, memory, accuracy, agreement against size, SQNR over depth.

Kinds differ in shape or hatching as well as in colour; the colours are those of Okabe and Ito (2008), "Color Universal
Design", which people with any common colour vision can tell apart.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ocr_conformance.cases import MODES
from ocr_conformance.report import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Routes = Mapping[str, list[tuple[str, dict[str, Any]]]]
"""A model's cases by ``route @toolchain``, as `table.routes` gives them."""

_COLORS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_SOURCE = "#999999"
_INCHES = 4.2
"""Width: what a phone shows without scaling down."""
_ROW = 0.19
_NO_DIFFERENCE_DB = 199.0

Bar = tuple[float, float, float]
"""A length, and the ends of its confidence interval (the length itself where there is none)."""


def of_model(routes: Routes) -> Iterator[tuple[str, str]]:
    """Title and SVG of each plot that a model's cases have numbers for."""
    bars: tuple[tuple[str, str, Callable[[Mapping[str, Any]], list[Bar]]], ...] = (
        ("Size", "KB", _size),
        ("Latency", "ms an invoke, 95 % interval", _latency),
        ("Memory", "MB that load and first invoke add", _memory),
        ("Accuracy", "%, artifact and (grey) source, 95 % interval", _accuracy),
    )
    for title, unit, measure in bars:
        rows = [
            (route, [(mode, found) for mode, case in members if (found := measure(case["checks"]))])
            for route, members in routes.items()
        ]
        shown = [(route, members) for route, members in rows if members]
        if shown:
            yield title, _bars(shown, unit)
    points = [
        (mode, sum(sizes) / 1024, 100 * agreement[0])
        for members in routes.values()
        for mode, case in members
        if (sizes := table.values(case["checks"], "size", "bytes")) and (agreement := table.as_source(case["checks"]))
    ]
    if len(points) > 1:
        yield "Agreement with the source against size", _trade_off(points)


def of_explanation(explanation: Mapping[str, Any]) -> str:
    """SQNR over depth: what each op passes on, and what its own error would leave; empty where there is none."""
    rows = [row for row in explanation["sqnr"] if row[1] is not None]
    if not rows:
        return ""
    figure, axes = _figure(2.4)
    for column, label, style in ((1, "passed on", "-"), (2, "made in the op", ".")):
        seen = [row for row in rows if row[column] is not None and row[column] < _NO_DIFFERENCE_DB]
        axes.plot([row[0] for row in seen], [row[column] for row in seen], style, label=label, linewidth=1, ms=3)
    if explanation["op"] is not None:
        axes.axvline(explanation["op"], color="#D55E00", linewidth=0.8, linestyle="--", label="blamed")
    axes.set_xlabel("op, in execution order")
    axes.set_ylabel("SQNR, dB")
    axes.legend(frameon=False, fontsize=7)
    return _svg(figure)


def _size(checks: Mapping[str, Any]) -> list[Bar]:
    sizes = table.values(checks, "size", "bytes")
    return [_exactly(sum(sizes) / 1024)] if sizes else []


def _latency(checks: Mapping[str, Any]) -> list[Bar]:
    data = checks.get("latency", {}).get("data", {})
    low, high = data.get("intervals", {}).get("latency_ms", (None, None))
    found = [
        value["measured"]
        for value in checks.get("latency", {}).get("values", ())
        if value["name"].partition(" ")[0] == "latency_ms" and value["measured"] is not None
    ]
    if not found:
        return []
    return [(found[0], low, high)] if low is not None and high is not None else [_exactly(found[0])]


def _memory(checks: Mapping[str, Any]) -> list[Bar]:
    found = table.values(checks, "memory", "growth_bytes")
    return [_exactly(sum(found) / 2**20)] if found else []


def _accuracy(checks: Mapping[str, Any]) -> list[Bar]:
    found = table.accuracies(checks)
    if found is None:
        return []
    intervals = checks["accuracy"]["data"].get("interval", {})
    if "hmean" in {value["name"] for value in checks["accuracy"]["values"]}:
        intervals = {}  # they are those of recall
    bars = []
    for share, side in zip(found, ("artifact", "source"), strict=True):
        low, high = intervals.get(side) or (share, share)
        bars.append((100 * share, 100 * low, 100 * high))
    return bars


def _exactly(length: float) -> Bar:
    return length, length, length


def _bars(rows: Sequence[tuple[str, Sequence[tuple[str, Sequence[Bar]]]]], unit: str) -> str:
    """Horizontal bars, a group a route; a second bar of a case is the source's, thin and grey."""
    count = sum(1 + len(members) for _, members in rows)
    figure, axes = _figure(0.55 + _ROW * count)
    place, places, labels = 0, [], []
    longest = max(bar[2] for _, members in rows for _, bars in members for bar in bars) or 1.0
    for route, members in rows:
        axes.text(0, place, f" {route}", va="center", ha="left", weight="bold", fontsize=7)
        place += 1
        for mode, bars in members:
            for number, (length, low, high) in enumerate(bars):
                offset, height = (0.0, 0.6) if len(bars) == 1 else ((-0.15, 0.4) if number == 0 else (0.3, 0.25))
                error = [[max(length - low, 0.0)], [max(high - length, 0.0)]] if high > low else None
                axes.barh(
                    place + offset, length, height, color=_SOURCE if number else _COLORS[MODES.index(mode)],
                    xerr=error, error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": "#D55E00"},
                )  # fmt: skip
            axes.text(bars[0][2] + longest * 0.015, place, _number(bars[0][0]), va="center", fontsize=6.5)
            places.append(place)
            labels.append(mode)
            place += 1
    axes.set_yticks(places, labels)
    axes.set_ylim(place - 0.5, -0.6)
    axes.set_xlim(0, longest * 1.18)
    axes.set_xlabel(unit)
    axes.tick_params(axis="y", length=0)
    return _svg(figure)


def _trade_off(points: Sequence[tuple[str, float, float]]) -> str:
    figure, axes = _figure(3.0)
    for number, mode in enumerate(MODES):
        of_mode = [(size, agreement) for each, size, agreement in points if each == mode]
        if of_mode:
            axes.plot(*zip(*of_mode, strict=True), _MARKERS[number], color=_COLORS[number], label=mode, ms=5, alpha=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("KB (log scale)")
    axes.set_ylabel("% as the source")
    axes.minorticks_off()
    low, high = min(size for _, size, _ in points), max(size for _, size, _ in points)
    axes.set_xlim(low / 1.3, high * 1.3)
    least = min(agreement for _, _, agreement in points)
    axes.set_ylim(least - max(10.0, 0.4 * (100 - least)), 101)  # room for the legend
    ticks = sorted({low, (low * high) ** 0.5, high})
    axes.set_xticks(ticks, [_number(tick) for tick in ticks])
    axes.legend(frameon=False, ncols=2, fontsize=7, loc="lower right")
    return _svg(figure)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@functools.cache
def _style() -> dict[str, Any]:
    return {
        "font.size": 7.5, "font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "ocr-conformance",
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "figure.facecolor": "none",
        "axes.facecolor": "none", "savefig.facecolor": "none",
    }  # fmt: skip


def _figure(height: float) -> tuple[Figure, Axes]:
    """A figure of its own: no pyplot, whose backend and open figures belong to the process."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_style()):
        figure = Figure(figsize=(_INCHES, height), layout="constrained")
        return figure, figure.subplots()


def _svg(figure: Figure) -> str:
    """An ``<svg>`` element that scales with the page, without what would change from run to run."""
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context(_style()):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
