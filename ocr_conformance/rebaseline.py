"""Write measured values back into a contract, with head-room, as a diff that a reviewer can read."""

from __future__ import annotations

import datetime
import difflib
import glob
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.items import AoT, Comment, Table, Whitespace

from ocr_conformance import contract as contracts
from ocr_conformance.cases import Case
from ocr_conformance.contract import Contract, Promise
from ocr_conformance.errors import UserError
from ocr_conformance.results import CheckResult, Value

if TYPE_CHECKING:
    from ocr_conformance.conformance import Engine

_SOUND = ("passed", "skipped", "unsupported")
"""Verdicts beside which a case may be baselined: a claimed failure of one check is no obstacle to the others."""

ERROR_ROOM = 1.5
"""Tensor distances and character errors may grow by this factor: another processor's kernels add in another order."""
SIZE_ROOM = 1.05
"""Files change by some per cent with a converter's version."""
MEMORY_ROOM = 1.2
LATENCY_ROOM = 1.15
"""On the upper end of the measured interval."""
SHARE_ROOM = 0.98
"""Shares of arithmetic and bytes are exact for a file; a converter's version moves them a little."""
ERROR_FLOOR = 1e-5
"""No tensor distance is promised below what another order of float32 sums makes (FACTS: up to 4e-5 in sound files)."""
SQNR_CEILING_DB = 90.0
"""Nor more decibels than that noise leaves."""


@dataclass(frozen=True)
class Measured:
    """The results of one case that are to be baselined."""

    case: Case
    results: tuple[CheckResult, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the distributions in the case's toolchain, for the contract's version gates."""
    weights: str = ""
    """Name of the source's weights, for the contract's selectors; empty: not known."""


@dataclass(frozen=True)
class Update:
    """What an update does.

    Attributes:
        diff: unified diff of the contract; empty when nothing changes.
        kept: limits that would have become looser and were left as they are, for want of a ``because``.
    """

    diff: str
    kept: tuple[str, ...]


def update(
    path: Path,
    measured: Sequence[Measured],
    *,
    because: str | None = None,
    weights_sha256: str | None = None,
    toolchain: str | None = None,
    date: datetime.date | None = None,
    write: bool = False,
) -> Update:
    """Set the limits of each measured variant, route and mode to what was measured, with head-room.

    Cases that differ in their toolchain only share an entry; the loosest value counts. An entry with exactly these
    selectors is changed in place where it has the last word, otherwise one is added behind the last. Comments and order
    stay. A limit is only loosened with a ``because``, which the entry then carries; without one it is kept. The
    entry is for the measured weights only where the contract has others, or tells weights apart.

    Args:
        weights_sha256, toolchain, date: for ``[measured]``; what is ``None`` stays.
        write: put the new text in the file (atomically); otherwise only the diff is made.

    Raises:
        UserError: a case has a result that did not pass (`skipped` and a claimed failure are no obstacles), the
            contract is wrong, or it cannot be written.
    """
    contract = contracts.load(path)
    for one in measured:
        for result in one.results:
            if result.verdict not in _SOUND:
                raise UserError(f"{one.case}: {result.check} is {result.verdict}: only what passes can be baselined")
    text = path.read_text(encoding="utf-8")
    document = tomlkit.parse(text)
    kept: list[str] = []
    for group in _grouped(measured):
        kept += _set(document, contract, group, because)
    stamp = {"weights_sha256": weights_sha256, "toolchain": toolchain, "date": date}
    given = {key: value for key, value in stamp.items() if value is not None}
    if given:
        table = document.setdefault("measured", tomlkit.table())
        for key, value in given.items():
            table[key] = value
    changed = tomlkit.dumps(document)
    contracts.from_dict(document.unwrap(), str(path), contracts.header_lines(changed))
    diff = "".join(difflib.unified_diff(text.splitlines(True), changed.splitlines(True), str(path), str(path), n=2))
    if write and diff:
        _write(path, changed)
    return Update(diff, tuple(kept))


def update_from(engine: Engine, *, because: str | None = None, write: bool = False) -> list[str]:
    """Judge the engine's cases and baseline those of which every check passed (or could not be tried here).

    Returns:
        A unified diff per contract that changes, then lines (beginning with ``#``) on what was left alone and why.

    Raises:
        UserError: as `update`; also when nothing passed, or a model's contract is no file.
    """
    pairs = [(case, check.name) for case in engine.cases for check in engine.checks_of(case)]
    engine.prefetch(pairs)
    for case, name in pairs:
        engine.judge(case, name)
    diffs, notes = [], []
    models: dict[Path, list[Measured]] = {}
    versions = {chain.name: chain.versions for chain in engine.chains}
    for case, results in engine.results.items():
        bad = {name: result.verdict for name, result in results.items() if result.verdict not in _SOUND}
        if bad:
            # Behind a claimed failure to convert nothing is bad, but nothing was measured.
            named = {name: v for name, v in bad.items() if v != "not-run"} or {"conversion": "unsupported"}
            causes = ", ".join(f"{name} is {verdict}" for name, verdict in named.items())
            notes.append(f"# {case} is left alone: {causes}")
        elif any(result.verdict == "passed" for result in results.values()):
            path = Path(engine.registry.models[case.model].contract.where)
            if not path.is_file():
                raise UserError(f"the contract of {case.model} is no file that could be updated ({path})")
            models.setdefault(path, []).append(
                Measured(
                    case,
                    tuple(results.values()),
                    versions.get(case.toolchain, {}),
                    engine.source(case.model, case.variant).weights.name,
                )
            )
    if not models:
        raise UserError("no case passed: there is nothing to baseline" + "".join(f"; {note[2:]}" for note in notes[:1]))
    for path, measured in models.items():
        first = measured[0].case
        changed = update(
            path,
            measured,
            because=because,
            weights_sha256=engine.source(first.model, first.variant).weights.sha256,
            toolchain=", ".join(sorted({one.case.toolchain for one in measured})),
            write=write,
        )
        if changed.diff:
            diffs.append(changed.diff)
        notes += [f"# {line}" for line in changed.kept]
    return diffs + notes


def limits_of(result: CheckResult) -> dict[str, dict[str, float]]:
    """The limits, by table and key, that a passed result suggests: measured values with head-room, rounded outwards."""
    values = {value.name: value for value in result.values if math.isfinite(value.measured)}
    rules = _RULES.get(result.check, {})
    found = {key: rule(values[key], result) for key, rule in rules.items() if key in values}
    table = "effect" if result.check == "mode" else result.check
    keys = {key: number for key, number in found.items() if number is not None}
    return {table: keys} if keys else {}


Rule = Callable[[Value, CheckResult], float | None]


def _outwards(number: float, most: bool, digits: int = 2) -> float:
    """Round away from the measured side, to so many significant digits."""
    if number == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(number))) - digits + 1)
    rounded = (math.ceil if most else math.floor)(round(number / step, 6)) * step
    return float(f"{rounded:.{digits + 1}g}")


def _thousandths(number: float, towards: Callable[[float], int]) -> float:
    return towards(round(number * 1000, 6)) / 1000


def _error(value: Value, result: CheckResult) -> float:
    return _outwards(max(value.measured * ERROR_ROOM, ERROR_FLOOR), most=True)


def _cosine(value: Value, result: CheckResult) -> float:
    # Rounded: 1 - 0.0015 has no short decimal form.
    return max(-1.0, round(1 - _outwards(max((1 - value.measured) * ERROR_ROOM, ERROR_FLOOR), most=True), 9))


def _overlap(value: Value, result: CheckResult) -> float:
    return max(0.0, _cosine(value, result))


def _decibels(value: Value, result: CheckResult) -> float:
    return min(SQNR_CEILING_DB, float(math.floor(value.measured - 20 * math.log10(ERROR_ROOM))))


def _one_sample_less(value: Value, result: CheckResult) -> float:
    return max(0.0, _thousandths(value.measured - _one_sample(result), math.floor))


def _one_sample_more(value: Value, result: CheckResult) -> float:
    return min(1.0, _thousandths(value.measured + _one_sample(result), math.ceil))


def _one_sample(result: CheckResult) -> float:
    """The share of one word or box; the source may have found none."""
    return 1 / max(1.0, float(result.data["samples"]))


def _characters(value: Value, result: CheckResult) -> float:
    """One sample may change as a whole, too: the share of its characters is about its share of the samples."""
    room: float = max(value.measured * ERROR_ROOM, value.measured + _one_sample(result))
    return _thousandths(room, math.ceil)


def _drop(value: Value, result: CheckResult) -> float:
    """The upper end of the interval (one without width when nothing was lost), and room for one sample more."""
    upper = max(float(result.data["interval"]["drop"][1]), value.measured + 1 / float(result.data["labels"]))
    return max(0.0, min(1.0, _thousandths(upper, math.ceil)))


def _ratio(value: Value, result: CheckResult) -> float | None:
    upper = float(result.data["intervals"][value.name][1])
    return _outwards(upper * LATENCY_ROOM, most=True) if math.isfinite(upper) else None


def _share(value: Value, result: CheckResult) -> float | None:
    """Only what the contract judges: a float file has no integer share to promise."""
    return None if value.limit is None else _thousandths(value.measured * SHARE_ROOM, math.floor)


_RULES: dict[str, dict[str, Rule]] = {
    "tensors": {"max_abs": _error, "rmse": _error, "cosine": _cosine, "cosine_mean": _cosine, "sqnr_db": _decibels},
    "text": {"agreement": _one_sample_less, "cer": _characters, "lost": _one_sample_more},
    "boxes": {
        **dict.fromkeys(("precision", "recall", "precision_75", "recall_75"), _one_sample_less),
        "mean_iou": _overlap,
    },
    "pipeline": {
        "same": _one_sample_less,
        "cer": _characters,
        "lost": _one_sample_more,
        "invented": _one_sample_more,
    },
    "accuracy": {"drop": _drop},
    "mode": dict.fromkeys(("integer_macs", "hybrid_macs", "integer_weights", "float16_weights"), _share),
    "size": {"bytes": lambda value, _: math.ceil(value.measured * SIZE_ROOM)},
    "latency": {"ratio_to_float32": _ratio, "ratio_to_source": _ratio},
    "memory": {"growth_bytes": lambda value, _: math.ceil(max(value.measured, 1) * MEMORY_ROOM)},
}
"""What is baselined. Repeatability, preprocessing, signature and ops are promises, not measurements."""

_LEAST = frozenset(
    {"cosine", "cosine_mean", "sqnr_db", "agreement", "integer_macs", "hybrid_macs", "integer_weights"}
    | {"float16_weights", "precision", "recall", "precision_75", "recall_75", "mean_iou", "same"}
)
"""Limits below which a value must not fall; of all others it must not be above."""


def _grouped(measured: Sequence[Measured]) -> list[list[Measured]]:
    """The cases of each variant, route and mode: they differ in their toolchain."""
    groups: dict[tuple[str, str, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.case.variant, one.case.route, one.case.mode), []).append(one)
    return list(groups.values())


def _looser(key: str, one: float, other: float) -> bool:
    return one < other if key in _LEAST else one > other


def _set(document: tomlkit.TOMLDocument, contract: Contract, group: list[Measured], because: str | None) -> list[str]:
    """Set the limits of one variant, route and mode; returns what was kept for want of a ``because``."""
    kept = []
    wanted: dict[str, dict[str, float]] = {}
    for one in group:
        for result in one.results:
            if result.verdict == "passed":
                for table, keys in limits_of(result).items():
                    for key, number in keys.items():
                        if _looser(key, number, wanted.setdefault(table, {}).setdefault(key, number)):
                            wanted[table][key] = number
    loosened = False
    for table, keys in wanted.items():
        for key, number in list(keys.items()):
            limits = [contract.limits(one.case, one.versions, weights=one.weights) for one in group]
            present = [getattr(getattr(one, table), key) for one in limits]
            known = [limit for limit in present if limit is not None]
            if len(known) == len(present) and all(limit == number for limit in known):
                del keys[key]
            elif any(_looser(key, number, limit) for limit in known):
                if because is None:
                    del keys[key]
                    kept.append(f"{group[0].case}: {table}.{key} stays at {max(known):g} ({number:g} would be looser)")
                else:
                    loosened = True
    wanted = {table: keys for table, keys in wanted.items() if keys}
    if not wanted:
        return kept
    entry, tail = _entry(document, contract, group)
    for table, keys in wanted.items():
        if table not in entry:
            entry[table] = tomlkit.inline_table()
        for key, number in keys.items():
            entry[table][key] = number
    if loosened:
        entry["because"] = because
    for item in tail:
        entry.add(item)
    return kept


def _entry(
    document: tomlkit.TOMLDocument, contract: Contract, group: list[Measured]
) -> tuple[Any, list[Comment | Whitespace]]:
    """The entry to change: the last with exactly these selectors, if none behind it has a say; else a new one.

    Also what is to follow a new one: blank lines and comments that stood behind the last (the next part's heading).
    """
    promises = document.setdefault("promise", tomlkit.aot())
    assert isinstance(promises, AoT)
    weights = _weights(contract, group[0].weights)
    for index in range(len(contract.promise) - 1, -1, -1):
        promise = contract.promise[index]
        if _exact(promise, group[0].case, bool(contract.variants), weights):
            return promises[index], []
        if any(promise.selects(one.case, one.versions, one.weights) for one in group):
            break
    entry: Table = tomlkit.table()
    case = group[0].case
    if contract.variants:
        entry["variant"] = case.variant
    entry["route"], entry["mode"] = case.route, case.mode
    if weights:
        entry["weights"] = weights[0]
    tail: list[Comment | Whitespace] = []
    if promises:
        body = promises[-1].value.body
        while body and isinstance(item := body[-1][1], (Comment, Whitespace)):
            tail.insert(0, item)
            body.pop()
    entry.trivia.indent = "\n"
    promises.append(entry)
    return entry, tail


def _weights(contract: Contract, name: str) -> tuple[str, ...]:
    """The selector for what was measured with the weights ``name``: none where the contract knows only these."""
    told_apart = any(entry.weights for entry in (*contract.promise, *contract.unsupported))
    return (glob.escape(name),) if name and (told_apart or set(contract.weights) != {name}) else ()


def _exact(promise: Promise, case: Case, has_variants: bool, weights: tuple[str, ...]) -> bool:
    return (
        promise.variant == ((case.variant,) if has_variants else ())
        and promise.route == (case.route,)
        and promise.mode == (case.mode,)
        and promise.weights == weights
        and not promise.toolchain
        and not promise.when
    )


def _write(path: Path, text: str) -> None:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chmod(name, path.stat().st_mode & 0o777)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
