"""Each hop of a route held against the one before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ocr_conformance.evidence import Evidence, Outcome

_T = TypeVar("_T")


def steps(
    evidence: Evidence,
    name: str,
    read: Callable[[Outcome], _T | None],
    compare: Callable[[_T, _T], tuple[float | None, str]],
    unread: str = "not read",
) -> list[dict[str, Any]]:
    """What ``compare(before, after)`` says of each hop: a number, here called ``name``, and how it is shown.

    A hop whose product was not run, or whose run cannot be ``read``, is passed over: the next one is held against the
    last that could.

    Returns:
        ``{"before", "hop", name, "said"}`` each; the number is ``None`` where there is none.
    """
    assert evidence.source is not None
    before, last = read(evidence.source), "source"
    found: list[dict[str, Any]] = []
    for number, hop in enumerate(evidence.hops, 1):
        run = evidence.run if number == len(evidence.hops) else hop.run
        after = read(run) if run is not None and run.ok else None
        step: dict[str, Any] = {"before": last, "hop": hop.name, name: None}
        if run is not None and not run.ok:
            step["said"] = f"could not be run ({run.kind} at {run.stage}: {run.message})"
        elif before is None or after is None:
            step["said"] = unread
        else:
            step[name], step["said"] = compare(before, after)
            before, last = after, hop.name
        found.append(step)
    return found


def line(found: list[dict[str, Any]]) -> str:
    """``source -> saved-model 2e-6 ok | saved-model -> tf-lite(int8) 0.41 FAILED``."""
    return " | ".join(f"{step['before']} -> {step['hop']} {step['said']}" for step in found)
