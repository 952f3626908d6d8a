"""Several records in one: tox environments, shards of CI, machines. Conflicts are shown, not overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocr_conformance.checks import CHECKS
from ocr_conformance.report.difference import other_inputs, same_case
from ocr_conformance.report.record import verdict
from ocr_conformance.report.schema import SCHEMA
from ocr_conformance.results import JUDGED


def merge(documents: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """One record of all runs, in the order given.

    A case that is in several is kept once where they agree, with the checks of all: of one that both judged that of
    the run which began last; what was skipped in one and judged in the other is judged. Where they do not agree
    (another verdict, text or size; other weights or images), the first one stays and the others stand in ``conflicts``.
    Another hash of a file of the same size is no conflict, as some converters write another one each time, and neither
    are other milliseconds and bytes of memory, which belong to a machine.

    Args:
        documents: names (what a reader will call the runs: their files) and records.
    """
    runs: list[dict[str, Any]] = []
    cases: dict[str, dict[str, Any]] = {}
    conflicts: list[dict[str, Any]] = []
    for name, document in documents:
        offset = len(runs)
        several = len(document["runs"]) > 1
        runs += [{**run, "name": f"{name}: {run['name']}" if several else name} for run in document["runs"]]
        for case, known in document["cases"].items():
            ours = {**known, "run": known["run"] + offset}
            there = cases.get(case)
            if there is None:
                cases[case] = ours
            elif differs := _differs(runs, case, there, ours):
                conflicts.append({"case": case, "differs": differs, "record": ours})
            else:
                cases[case] = _together(runs, there, ours)
        for conflict in document["conflicts"]:
            moved = {**conflict["record"], "run": conflict["record"]["run"] + offset}
            conflicts.append({**conflict, "record": moved})
    return {"schema": SCHEMA, "runs": runs, "cases": cases, "conflicts": conflicts}


def _together(runs: Sequence[Mapping[str, Any]], there: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """One record of a case that two runs agree on."""
    first, last = sorted((there, ours), key=lambda each: runs[each["run"]]["started"])
    if _judged(first) and not _judged(last):
        first, last = last, first
    found = dict(first["checks"])
    for name, check in last["checks"].items():
        if name not in found or check["verdict"] in JUDGED or found[name]["verdict"] not in JUDGED:
            found[name] = check
    order = list(CHECKS)
    names = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    judged = {name: found[name] for name in names}
    made = {name: last[name] or first[name] for name in ("hops", "artifacts", "explanation")}
    return {"run": last["run"], "verdict": verdict(judged.values()), **made, "checks": judged}


def _judged(case: Mapping[str, Any]) -> bool:
    return any(check["verdict"] in JUDGED for check in case["checks"].values())


def _differs(
    runs: Sequence[Mapping[str, Any]], case: str, there: Mapping[str, Any], ours: Mapping[str, Any]
) -> list[str]:
    """What two runs do not agree on of a case, in words."""
    model = case.partition("/")[0]
    known, other = (runs[each["run"]]["models"][model] for each in (there, ours))
    found = [f"{name} {known[name]['name']} / {other[name]['name']}" for name in other_inputs(known, other)]
    return found + same_case(case, there, ours)
