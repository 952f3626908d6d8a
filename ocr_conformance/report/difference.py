"""What changed between two records, beyond noise: a converter upgrade, a new set of weights, another machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ocr_conformance.cases import Case
from ocr_conformance.errors import UserError
from ocr_conformance.report import record, table
from ocr_conformance.results import JUDGED

Direction = Literal["worse", "better", "changed"]

_RANKS = {"failed": 0, "undecided": 1, "not-run": 2, "skipped": 2, "unsupported": 3, "passed": 4}
"""A verdict of a higher rank is better; what says nothing is better than a failure, and worse than any other."""

_SLACK = 0.1
"""Memory that grows by less than this share, or by less than `_LEAST_BYTES`, is noise."""
_LEAST_BYTES = 2**20

_ALMOST = 1e-9
_SIZE_SLACK = 0.005
"""A file that is larger by less than this share has other metadata, or another order of its buffers."""


@dataclass(frozen=True)
class Change:
    """One thing that is otherwise than before, of a case (its newer name) or of the whole."""

    case: str
    what: str
    before: str
    after: str
    direction: Direction

    def to_json(self) -> dict[str, str]:
        """A JSON-able dict."""
        return dataclasses.asdict(self)


COLUMNS = ("case", "what", "before", "after", "which is")
"""Headings of a table of changes."""

_Amount = tuple[str, str, str, Callable[[float], str], bool]
_AMOUNTS: tuple[_Amount, ...] = (
    # check, value, what a reader calls it, how it is shown, whether more is better
    ("text", "agreement", "same text as the source", table.percent, True),
    ("text", "cer", "character error rate", table.percent, False),
    ("boxes", "recall", "source's boxes that are found", table.percent, True),
    ("boxes", "precision", "found boxes that are the source's", table.percent, True),
    ("pipeline", "same", "source's words found and read the same", table.percent, True),
    ("accuracy", "accuracy", "accuracy", table.percent, True),
    ("accuracy", "hmean", "hmean of precision and recall", table.percent, True),
    ("accuracy", "source_accuracy", "accuracy of the source", table.percent, True),
    ("accuracy", "source_hmean", "hmean of the source", table.percent, True),
    ("size", "bytes", "size", table.kilobytes, False),
    ("mode", "integer_macs", "integer multiply-accumulates", table.percent, True),
    ("ops", "flex", "kinds of Flex ops", "{:g}".format, False),
    ("ops", "custom", "kinds of custom ops", "{:g}".format, False),
)
"""Values that are the same for the same file and images. Of what fails before and after, none is better or worse."""


def compare(old: Mapping[str, Any], new: Mapping[str, Any], toolchains: tuple[str, str] | None = None) -> list[Change]:
    """What is otherwise in ``new``: versions of toolchains, then cases, worst first, then in the record's order.

    Cases are held against those of the same name; what then is left over on both sides, against the case of the same
    model, route and mode in another toolchain, where there is one only.

    Args:
        toolchains: only cases of the first one in ``old`` against those of the second one in ``new``.

    Raises:
        UserError: nothing can be compared.
    """
    before, after = _cases(old, toolchains and toolchains[0]), _cases(new, toolchains and toolchains[1])
    pairs = _pairs(before, after)
    if not any(ours and theirs for ours, theirs in pairs):
        raise UserError("the records have no case in common, not even in different toolchains")
    found: list[Change] = []
    for ours, theirs in pairs:
        if ours is None:
            assert theirs is not None
            found.append(Change(theirs, "case", "not judged", after[theirs]["verdict"], "changed"))
        elif theirs is None:
            found.append(Change(ours, "case", before[ours]["verdict"], "not judged", "changed"))
        else:
            inputs = list(_inputs(theirs, record.model_of(old, ours), record.model_of(new, theirs)))
            found += inputs
            found += _of_case(theirs, before[ours], after[theirs], same_inputs=not inputs)
    found = list(dict.fromkeys(found))
    order = ("worse", "better", "changed")
    return [*_of_toolchains(old, new, pairs), *sorted(found, key=lambda change: order.index(change.direction))]


def worse(changes: Sequence[Change]) -> bool:
    """Whether something is worse than before."""
    return any(change.direction == "worse" for change in changes)


def same_case(case: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What two records of one case do not agree on, in words; empty where they agree.

    Only checks that both have judged; latency and memory by their verdicts alone: their numbers belong to a machine.
    """
    common = [name for name in ours["checks"] if all(_judged(each, name) for each in (ours, theirs))]
    mine, others = ({**each, "checks": {name: each["checks"][name] for name in common}} for each in (ours, theirs))
    found = list(_verdicts(case, mine, others))
    found += _amounts(case, mine, others, same_inputs=True)
    return [f"{each.what} {each.before} / {each.after}" for each in found]


def _judged(case: Mapping[str, Any], check: str) -> bool:
    return case["checks"].get(check, {}).get("verdict") in JUDGED


def _cases(document: Mapping[str, Any], toolchain: str | None) -> dict[str, dict[str, Any]]:
    found = {
        case: known
        for case, known in document["cases"].items()
        if toolchain is None or Case.parse(case).toolchain == toolchain
    }
    if toolchain is not None and not found:
        there = ", ".join(dict.fromkeys(Case.parse(case).toolchain for case in document["cases"]))
        raise UserError(f"--toolchains {toolchain}: the record has no case in it, only in {there or 'none'}")
    return found


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str | None, str | None]]:
    """Names of the cases that belong together, in the newer record's order; ``None``: there is none."""
    left = [case for case in before if case not in after]
    new = [case for case in after if case not in before]
    partners: dict[str, str] = {}
    for case in new:
        ours = [other for other in left if _nowhere(other) == _nowhere(case)]
        theirs = [other for other in new if _nowhere(other) == _nowhere(case)]
        if len(ours) == len(theirs) == 1:
            partners[case] = ours[0]
    pairs: list[tuple[str | None, str | None]] = [
        (case if case in before else partners.get(case), case) for case in after
    ]
    return pairs + [(case, None) for case in left if case not in partners.values()]


def _nowhere(case: str) -> str:
    """A case without its toolchain."""
    return case.rpartition("@")[0]


def _inputs(case: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    model = Case.parse(case).model_id
    for name in other_inputs(old, new):
        before, after = (f"{each[name]['name']} ({each[name]['sha256'][:12]})" for each in (old, new))
        yield Change(model, name, before, after, "changed")


def other_inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What of a model's inputs differs, of those that numbers hang on: where they do, so may the numbers."""
    return [name for name in ("weights", "images", "calibration") if old[name]["sha256"] != new[name]["sha256"]]


def _of_case(case: str, old: Mapping[str, Any], new: Mapping[str, Any], *, same_inputs: bool) -> Iterator[Change]:
    if old["verdict"] != new["verdict"]:
        yield Change(case, "verdict", table.decided(old), table.decided(new), _rank(old["verdict"], new["verdict"]))
    for each in _verdicts(case, old, new):  # the case's own line says as much
        if (each.before, each.after) != (old["verdict"], new["verdict"]):
            yield each
    for name in dict.fromkeys((*old["checks"], *new["checks"])):
        verdicts = [
            checks[name]["verdict"] if name in checks else "not judged" for checks in (old["checks"], new["checks"])
        ]
        if "not judged" in verdicts:
            yield Change(case, name, verdicts[0], verdicts[1], "changed")
    how = [_failure(each["checks"]) for each in (old, new)]
    if all(how) and how[0] != how[1]:
        yield Change(case, "how it fails", how[0], how[1], "changed")
    yield from _amounts(case, old, new, same_inputs=same_inputs)
    judged = {name: (old["checks"][name], check) for name, check in new["checks"].items() if name in old["checks"]}
    for name, find in (("latency", _latency), ("memory", _memory)):
        for each in find(case, *judged[name]) if name in judged else ():
            comparable = same_inputs and _works(name, old, new)
            yield each if comparable else dataclasses.replace(each, direction="changed")
    yield from _kinds(case, judged.get("ops"))


def _verdicts(case: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Checks with another verdict; those that a failed conversion leaves are not listed: that says it."""
    for name, check in new["checks"].items():
        before, after = old["checks"].get(name, check)["verdict"], check["verdict"]
        if before != after and "not-run" not in (before, after):
            yield Change(case, name, before, after, _rank(before, after))


def _works(check: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a check does not fail on both sides."""
    return any(each["checks"][check]["verdict"] in ("passed", "undecided") for each in (old, new))


def _amounts(case: str, old: Mapping[str, Any], new: Mapping[str, Any], *, same_inputs: bool) -> Iterator[Change]:
    for check, name, what, show, more in _AMOUNTS:
        for part in ("", "detector_", "recognizer_"):
            ours, theirs = (record.value(each["checks"], check, f"{part}{name}") for each in (old, new))
            if (
                ours is None
                or theirs is None
                or abs(ours - theirs) <= (_SIZE_SLACK * ours if check == "size" else _ALMOST)
            ):
                continue
            direction: Direction = "better" if (theirs > ours) == more else "worse"
            label = f"{part.rstrip('_')}'s {what}" if part else what
            # Of other images another share is neither better nor worse.
            comparable = same_inputs and _works(check, old, new)
            yield Change(case, label, show(ours), show(theirs), direction if comparable else "changed")


def _rank(before: str, after: str) -> Direction:
    if _RANKS[before] == _RANKS[after]:
        return "changed"
    return "better" if _RANKS[after] > _RANKS[before] else "worse"


def _failure(checks: Mapping[str, Any]) -> str:
    """How a conversion failed: the stage and the kind."""
    data = checks.get("conversion", {}).get("data", {})
    return f"{data['kind']} at {data['stage']} of {data['hop']}" if "kind" in data else ""


def _latency(case: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Ratios whose confidence intervals do not meet."""
    before, after = (_intervals(check["data"]) for check in (old, new))
    for name in sorted(before.keys() & after.keys()):
        (low, high), (new_low, new_high) = before[name], after[name]
        if new_low > high or new_high < low:
            was, now = (f"{a:.2f} - {b:.2f}x" for a, b in ((low, high), (new_low, new_high)))
            yield Change(case, f"latency, {name}", was, now, "worse" if new_low > high else "better")


def _intervals(data: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Of ratios only: milliseconds belong to a machine. Of a pipeline its parts'."""
    found: dict[str, tuple[float, float]] = {}
    for part, known in (("", data), ("detector's ", data.get("detector")), ("recognizer's ", data.get("recognizer"))):
        for name, (low, high) in ((known or {}).get("intervals") or {}).items():
            if name.startswith("ratio_to_") and low is not None and high is not None:
                found[f"{part}{name.replace('_', ' ')}"] = (low, high)
    return dict(sorted(found.items()))


def _memory(case: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for part in ("", "detector_", "recognizer_"):
        ours, theirs = (record.value({"memory": each}, "memory", f"{part}growth_bytes") for each in (old, new))
        if ours is None or theirs is None or abs(theirs - ours) <= max(_LEAST_BYTES, _SLACK * ours):
            continue
        was, now = table.kilobytes(ours), table.kilobytes(theirs)
        yield Change(case, f"{part.replace('_', ' ')}memory", was, now, "worse" if theirs > ours else "better")


def _kinds(case: str, checks: tuple[Mapping[str, Any], Mapping[str, Any]] | None) -> Iterator[Change]:
    """Kinds of ops that came or went."""
    if checks is None or not all("ops" in check["data"] for check in checks):
        return
    before, after = ({op["name"] for op in check["data"]["ops"]} for check in checks)
    if before != after:
        yield Change(
            case,
            "kinds of ops",
            " ".join(sorted(before - after)) or "-",
            " ".join(sorted(after - before)) or "-",
            "changed",
        )


def _of_toolchains(
    old: Mapping[str, Any], new: Mapping[str, Any], pairs: Sequence[tuple[str | None, str | None]]
) -> list[Change]:
    """Versions that differ between the toolchains of paired cases."""
    found: dict[Change, None] = {}
    for ours, theirs in pairs:
        if ours is None or theirs is None:
            continue
        names = [Case.parse(case).toolchain for case in (ours, theirs)]
        chains = [
            record.run_of(old, ours)["toolchains"].get(names[0]),
            record.run_of(new, theirs)["toolchains"].get(names[1]),
        ]
        if None in chains or chains[0] == chains[1]:
            continue
        title = names[1] if names[0] == names[1] else " -> ".join(names)
        versions = [chain["versions"] for chain in chains if chain is not None]
        names_of = [
            name
            for name in dict.fromkeys((*versions[0], *versions[1]))
            if versions[0].get(name) != versions[1].get(name)
        ]
        before, after = (
            ", ".join(f"{name} {each[name]}" for name in names_of if name in each) or "-" for each in versions
        )
        if names_of:
            found[Change(title, "versions", before, after, "changed")] = None
    return list(found)
