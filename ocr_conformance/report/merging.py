"""Several records in one: tox environments, shards of CI, machines. Conflicts are shown, not overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocr_conformance.report.difference import same_case
from ocr_conformance.report.schema import SCHEMA


def merge(documents: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """One record of all runs, in the order given.

    A case that several runs judged is kept once where they agree: that of the run which began last. Where they do not
    (another verdict, text, size or latency; other weights or images), the first one stays and the others stand in
    ``conflicts``. Another hash of a file of the same size is no conflict: some converters write another one each time.

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
            elif runs[ours["run"]]["started"] > runs[there["run"]]["started"]:
                cases[case] = ours
        for conflict in document["conflicts"]:
            moved = {**conflict["record"], "run": conflict["record"]["run"] + offset}
            conflicts.append({**conflict, "record": moved})
    return {"schema": SCHEMA, "runs": runs, "cases": cases, "conflicts": conflicts}


def _differs(
    runs: Sequence[Mapping[str, Any]], case: str, there: Mapping[str, Any], ours: Mapping[str, Any]
) -> list[str]:
    """What two runs do not agree on of a case, in words."""
    model = case.partition("/")[0]
    known, other = (runs[each["run"]]["models"][model] for each in (there, ours))
    found = [
        f"{name} {known[name]['name']} / {other[name]['name']}"
        for name in ("weights", "images", "calibration")
        if known[name]["sha256"] != other[name]["sha256"]
    ]
    return found + same_case(case, there, ours)
