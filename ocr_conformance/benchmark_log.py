"""What TFLite's and LiteRT's ``benchmark_model`` printed on a phone, held against a device's ceilings.

Three forms, as their sources print them (read in November 2026), with or without what a logger puts before a line:

- TFLite, tensorflow/lite/tools/benchmark/benchmark_model.cc: ``Inference timings in us: Init: 6395, First inference:
  2761, Warmup (avg): 3243.58, Inference (avg): 2942.27``, then ``Memory footprint delta from the start of the tool
  (MB): init=39.4 overall=40.8`` (older: ``Peak memory footprint (MB): ...``); MB are 2**20 bytes
- TFLite of old: ``Average inference timings in us: Warmup: 83235, Init: 38467, Inference: 79760.9`` (or ``no stats:``)
- LiteRT, litert/tools/benchmark_litert_model.h: ``Inference (avg):      0.46 ms (2112 runs)``, ``Inference (std):
  0.01``, ``Overall footprint:    11.51 MB``; its Python twin ``litert-benchmark`` the same without memory

Before the summary stands ``count=50 first=.. curr=.. min=.. max=.. avg=.. std=..`` (newer ones add percentiles), of
the warm-up and then of the run that counts, xla/tsl/util/stats_calculator.h: microseconds, ``std`` of the population
and cut to a whole number, ``avg`` to six digits; where all times are equal only ``count=50 curr=123(all same)``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ocr_conformance.contract import DeviceCeilings
from ocr_conformance.errors import UserError
from ocr_conformance.metrics import CONFIDENCE
from ocr_conformance.results import CheckResult, Value, Verdict, judge, tightest

_NUMBER = r"([-+.\w]+)"
_WHOLE = r"(\d{1,9})"
_COUNT = re.compile(r"(?<!\(microseconds\): )(?<!\(bytes\): )\bcount=(\d+)(.*)")
"""Not those of the profiler, ``Timings (microseconds): count=50 ...``, which are of the sums over ops."""
_SUMMARY = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, Warmup \(avg\): {_NUMBER}, "
    rf"Inference \(avg\): {_NUMBER}"
)
_OLD_SUMMARY = re.compile(
    rf"Average inference timings in us: Warmup: {_NUMBER}, Init: {_NUMBER}, (?:Inference|no stats): {_NUMBER}"
)
_LITERT = re.compile(rf"Inference \(avg\):\s+{_NUMBER} ms \({_WHOLE} runs\)")
_LITERT_STD = re.compile(rf"Inference \(std\):\s+{_NUMBER}")
_MEMORY = (
    re.compile(rf"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): init={_NUMBER} "
               rf"overall={_NUMBER}"),
    re.compile(rf"(Overall) footprint:\s+{_NUMBER} MB"),
)  # fmt: skip
_THREADS = re.compile(rf"(?:Num threads ?|#threads used for CPU inference): \[{_WHOLE}\]")
_MOST = 1e15
"""Microseconds of 30 years; floats below it hold whole numbers, and their squares are finite."""
_GRAPH = re.compile(r"Graph: \[(.+)\]|Loading model from: (.+)")


@dataclass(frozen=True)
class Run:
    """One run of the tool; ``None`` where it does not say.

    Attributes:
        avg_ms: mean wall time of an invoke.
        count: invokes that it is the mean of.
        std_ms: their standard deviation, rounded up.
        error_ms: how far ``avg_ms`` may be off by its digits.
        overall_bytes: what the process took more at the end than at its start.
    """

    avg_ms: float
    count: int | None = None
    std_ms: float | None = None
    error_ms: float = 0.0
    overall_bytes: int | None = None
    threads: int | None = None
    graph: str | None = None

    def interval(self) -> tuple[float, float] | None:
        """Student's interval of the mean, as if invokes were independent; ``None`` of fewer than two."""
        if self.count is None or self.std_ms is None or self.count < 2:
            return None
        half = _student(self.count) * self.std_ms / math.sqrt(self.count - 1) + self.error_ms
        return self.avg_ms - half, self.avg_ms + half


def _student(count: int) -> float:
    """The quantile of Student's t for a mean of ``count`` numbers."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))


def text_of(data: bytes) -> str:
    """The text of a log; PowerShell's ``>`` writes UTF-16."""
    sixteen = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    return data.decode("utf-16" if sixteen else "utf-8-sig", errors="replace")


def parse(text: str, where: str) -> list[Run]:
    """The finished runs of a log, in order.

    Args:
        where: the file's name, for messages.

    Raises:
        UserError: there is none, or one that invoked nothing.
    """
    runs: list[Run] = []
    begun: dict[str, Any] = {}
    stats: tuple[int, float, float] | None = None
    for line in text.splitlines():
        if "STARTING!" in line:
            begun, stats = {}, None
        if found := _THREADS.search(line):
            begun["threads"] = int(found[1])
        if found := _GRAPH.search(line):
            begun["graph"] = found[1] or found[2]
        if found := _COUNT.search(line):
            stats = _stats(found[1], found[2])
        if found := _SUMMARY.search(line) or _OLD_SUMMARY.search(line):
            average = _number(found[found.lastindex or 0], where) / 1000
            runs.append(_with(Run(average, **begun), stats, average * 1e-5, where))
            stats = None
        elif found := _LITERT.search(line):
            run = Run(_number(found[1], where), int(found[2]), error_ms=0.005, **begun)
            runs.append(_with(run, stats, 0.0051, where))
            stats = None
        elif (found := _LITERT_STD.search(line)) and runs and runs[-1].std_ms is None:
            runs[-1] = replace(runs[-1], std_ms=_number(found[1], where) + 0.005)
        for pattern in _MEMORY:
            if (found := pattern.search(line)) and runs and runs[-1].overall_bytes is None:
                size = round(_number(found[2], where, -_MOST) * 2**20)
                # A platform that the tool cannot ask gives 0; a difference may be negative.
                runs[-1] = replace(runs[-1], overall_bytes=size if size > 0 else None)
    if not runs:
        raise UserError(
            f"{where}: no finished run of benchmark_model in it: expected a line `Inference timings in us: ...`, or "
            "`Inference (avg): ... ms (... runs)` of LiteRT's"
        )
    if not all(run.avg_ms > 0 for run in runs):
        raise UserError(f"{where}: a run without an invoke (--dry_run?): run the tool again without it")
    return runs


def _plausible(text: str, least: float = 0.0) -> float:
    """A number that a phone may give.

    Raises:
        ValueError: it is none, not finite, below ``least``, or not below `_MOST`.
    """
    number = float(text)
    if not least <= number < _MOST:
        raise ValueError(text)
    return number


def _number(text: str, where: str, least: float = 0.0) -> float:
    try:
        return _plausible(text, least)
    except ValueError:
        raise UserError(
            f"{where}: {text!r} is no number that a phone gives: the log is damaged, or of a run without an invoke "
            "(--dry_run?)"
        ) from None


def _stats(count: str, rest: str) -> tuple[int, float, float] | None:
    """Count, mean and standard deviation in microseconds, of a ``count=`` line; ``None`` where it is cut or damaged."""
    if re.fullmatch(_WHOLE, count) is None:
        return None
    values = dict(re.findall(rf"(\w+)={_NUMBER}", rest))
    try:
        if "(all same)" in rest or (int(count) == 1 and "avg" not in values):
            return int(count), _plausible(values["curr"]), 0.0
        return int(count), _plausible(values["avg"]), _plausible(values["std"])
    except (KeyError, ValueError):
        return None


def _with(run: Run, stats: tuple[int, float, float] | None, slack: float, where: str) -> Run:
    """A run with what its ``count=`` line says.

    Raises:
        UserError: their means differ by more than ``slack`` ms: a line is cut, or of another run.
    """
    if stats is None:
        return run
    count, mean, std = stats
    if abs(mean / 1000 - run.avg_ms) > slack or run.count not in (None, count):
        raise UserError(
            f"{where}: a run's summary says {run.avg_ms:g} ms, the `count=` line before it {mean / 1000:g} ms: "
            "lines are missing or cut"
        )
    return replace(run, avg_ms=mean / 1000, count=count, std_ms=(std + 1) / 1000, error_ms=mean * 5e-9)


def hold(runs: Sequence[Run], ceilings: DeviceCeilings, where: str) -> dict[str, CheckResult]:
    """The results ``latency`` and ``memory``; ``skipped`` where the contract has no ceiling or the log no figure.

    Latency is judged by an interval of the mean, where there is one: within passes, beyond fails, else ``undecided``.
    Of several runs it is Student's of their means, because the invokes of one run share its temperature and its clock;
    of one run it is that of its invokes. Memory is the largest of the runs.

    Raises:
        UserError: the runs are of different files or numbers of threads.
    """
    for name, values in (("graph", {run.graph for run in runs}), ("threads", {run.threads for run in runs})):
        known = sorted(str(value) for value in values if value is not None)
        if len(known) > 1:
            raise UserError(f"{where}: runs of different {name} ({', '.join(known)}): import them one by one")
    return {"latency": _latency(runs, ceilings), "memory": _memory(runs, ceilings)}


def _latency(runs: Sequence[Run], ceilings: DeviceCeilings) -> CheckResult:
    average, interval, how = _mean(runs)
    threads = runs[0].threads
    limit = ceilings.latency_ms
    name = f"latency_ms on {ceilings.name}"
    shown = f"{name.replace('_', ' ')} {average:.4g}"
    if interval is not None:
        shown += f" [{interval[0]:.4g}, {interval[1]:.4g}]"
    shown += f" ({how}" + (f", {threads} thread{'s' if threads != 1 else ''})" if threads else ")")
    details = []
    if threads is not None and ceilings.threads is not None and threads != ceilings.threads:
        details.append(f"the ceiling is for {ceilings.threads} threads, the log is of {threads}")
    data = {"interval": interval and list(interval), "runs": [asdict(run) for run in runs]}
    value = (Value(name, average, limit, unit=" ms"),)
    if limit is None:
        message = f"{shown}; the contract has no latency_ms for this case there"
        return CheckResult("latency", "skipped", message, value, tuple(details), data)
    low, high = interval or (average, average)
    verdict: Verdict = "passed" if high <= limit else "failed" if low > limit else "undecided"
    sign = {"passed": "<=", "failed": ">", "undecided": "cannot be told from"}[verdict]
    message = f"{shown} {sign} {limit:g}{_source(ceilings, 'latency_ms')}"
    if verdict != "passed":
        message += f" (the tightest that would have passed: {tightest(high)})"
    return CheckResult("latency", verdict, message, value, tuple(details), data)


def _mean(runs: Sequence[Run]) -> tuple[float, tuple[float, float] | None, str]:
    """The mean time of an invoke, its interval, and what that is of, in words."""
    if len(runs) == 1:
        (run,) = runs
        interval = run.interval()
        of = "of an unknown number of" if run.count is None else f"of {run.count}"
        invokes = "invoke" if run.count == 1 else "invokes"
        return run.avg_ms, interval, f"mean {of} {invokes}" + ("" if interval else "; the log permits no interval")
    means = [run.avg_ms for run in runs]
    average = math.fsum(means) / len(means)
    variance = math.fsum((mean - average) ** 2 for mean in means) / (len(means) - 1)
    half = _student(len(means)) * math.sqrt(variance / len(means)) + max(run.error_ms for run in runs)
    return average, (average - half, average + half), f"mean of {len(runs)} runs"


def _memory(runs: Sequence[Run], ceilings: DeviceCeilings) -> CheckResult:
    sizes = [run.overall_bytes for run in runs if run.overall_bytes is not None]
    limit, name = ceilings.memory_bytes, f"memory_bytes on {ceilings.name}"
    if not sizes:
        return CheckResult("memory", "skipped", "the log says nothing of memory")
    size = max(sizes)
    shown = f"{size / 2**20:.4g} MB more at the end than at the start"
    if limit is None:
        message = f"{shown}; the contract has no memory_bytes for this case there"
        return CheckResult("memory", "skipped", message, (Value(name, size, unit=" B"),))
    return judge(
        "memory",
        [Value(name, size, limit, unit=" B")],
        f"{shown}, at most {limit / 2**20:.4g} MB{_source(ceilings, 'memory_bytes')}",
    )


def _source(ceilings: DeviceCeilings, key: str) -> str:
    source = ceilings.sources.get(key)
    return f" ({source})" if source else ""
