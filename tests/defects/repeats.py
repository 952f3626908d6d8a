"""Judge good cases again and again, everything made anew each time, and compare verdict by verdict.

    python tests/defects/repeats.py --times 20            # on the machine as it is
    python tests/defects/repeats.py --times 20 --load     # beside a busy loop on every core
    python tests/defects/repeats.py --times 20 --anew 5   # the first 5 convert, the others measure

Exit 0: the same verdicts each time, none of them failed or undecided. What ran, and what was measured closest to its
limit, is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_conformance.checks import CHECKS, SEARCH

PATIENCE = 3600.0
"""Seconds after which one run hangs."""

MEASURED = ("latency", "memory", "repeatability")
"""The checks whose evidence no two runs share; the others' is the same as long as the artifact is."""

CASES = {
    "captcha": (
        ("captcha-ocr", "tf-lite", ("float32", "float16", "dynamic-range")),
        ("captcha-ocr", "tf-lite-unrolled", ("full-int8",)),
    ),
    "keras-ocr": (("keras-ocr", "tf-lite", ("float32", "dynamic-range")),),
    "craft": (("craft:320", "litert-torch", ("float32", "dynamic-range")),),
}
"""Good cases: by name, what one run of each line judges."""

# Ends when its standard input does, so that it outlives nobody.
_BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
while True:
    pass
"""


@contextlib.contextmanager
def busy(count: int | None = None) -> Iterator[list[int]]:
    """Busy loops, one on every core unless ``count`` says otherwise; they end with this block or with this process."""
    if count is None:
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    loops: list[subprocess.Popen[bytes]] = []
    try:
        loops += (subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE) for _ in range(count))
        yield [loop.pid for loop in loops]
    finally:
        for loop in loops:
            loop.kill()
            loop.communicate()


def judge(arguments: Sequence[str], folder: Path, cache: Path) -> dict[str, Any]:
    """One run of pytest in a process of its own: its record.

    Raises:
        RuntimeError: it wrote none.
    """
    report = folder / "run.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--ocr-cache={cache}", f"--ocr-report={report}", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if not report.exists():
        raise RuntimeError(f"pytest {' '.join(arguments)} wrote no record:\n{done.stdout}{done.stderr}")
    document: dict[str, Any] = json.loads(report.read_text())
    return document


Verdicts = dict[tuple[str, str], str]
"""By case and check."""


def verdicts(records: Sequence[Mapping[str, Any]]) -> Verdicts:
    """What was judged, over all records of one repeat."""
    return {
        (case, name): check["verdict"]
        for record in records
        for case, known in record["cases"].items()
        for name, check in known["checks"].items()
    }


def flickers(repeats: Sequence[Verdicts]) -> list[str]:
    """The case and check of which two repeats say different things, or say nothing, with how often each was said."""
    found = []
    for pair in dict.fromkeys(pair for repeat in repeats for pair in repeat):
        said = [repeat.get(pair, "not judged") for repeat in repeats]
        if len(set(said)) > 1:
            counts = ", ".join(f"{said.count(verdict)} times {verdict}" for verdict in dict.fromkeys(said))
            found.append(f"{pair[0]} {pair[1]}: {counts}")
    return found


def alarms(repeats: Sequence[Verdicts]) -> list[str]:
    """The case and check of which some repeat says that it is failed or undecided."""
    found = [(pair, verdict) for repeat in repeats for pair, verdict in repeat.items()]
    return [f"{case} {name}: {said}" for (case, name), said in dict.fromkeys(found) if said in ("failed", "undecided")]


@dataclass(frozen=True)
class Moved:
    """What one value of a check was over the repeats, beside its limit."""

    case: str
    check: str
    name: str
    low: float
    high: float
    limit: float | None
    most: bool

    @property
    def room(self) -> float:
        """How far the closest repeat stayed from the limit, as a share of it; infinite without one."""
        if self.limit is None:
            return math.inf
        gap = self.limit - self.high if self.most else self.low - self.limit
        return gap / abs(self.limit) if self.limit else (math.inf if gap > 0 else 0.0)

    @property
    def spread(self) -> float:
        """Largest over smallest, less 1."""
        return self.high / self.low - 1 if self.low > 0 else math.inf if self.high > self.low else 0.0

    def __str__(self) -> str:
        limit = "" if self.limit is None else f" {'<=' if self.most else '>='} {self.limit:.4g}, room {self.room:.1%}"
        return f"{self.case} {self.check} {self.name}: {self.low:.4g} to {self.high:.4g}{limit}"


def moved(repeats: Sequence[Sequence[Mapping[str, Any]]]) -> list[Moved]:
    """Every value that was measured in all repeats; of latency's ratios the ends of their intervals."""
    found: dict[tuple[str, str, str], list[tuple[float, float, float | None, bool]]] = {}
    for records in repeats:
        for record in records:
            for case, known in record["cases"].items():
                for name, check in known["checks"].items():
                    for value in check["values"]:
                        if value["measured"] is None:
                            continue
                        ends = check["data"].get("intervals", {}).get(value["name"]) or [value["measured"]] * 2
                        if None in ends:
                            ends = [value["measured"]] * 2
                        each = (min(ends), max(ends), value["limit"], value["most"])
                        found.setdefault((case, name, value["name"]), []).append(each)
    return [
        Moved(*key, min(low for low, *_ in seen), max(high for _, high, *_ in seen), *seen[0][2:])
        for key, seen in found.items()
    ]


def lines(name: str) -> list[list[str]]:
    """The pytest options of a set of `CASES`, a list for each run."""
    return [
        [
            f"--ocr-model={model}",
            f"--ocr-route={route}",
            *(f"--ocr-mode={mode}" for mode in modes),
            "-k",
            "not tf-keras",
        ]
        for model, route, modes in CASES[name]
    ]


def repeat(
    runs: Sequence[Sequence[str]], folder: Path, times: int, *, load: bool, cache: Path | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Judge ``times`` times, beside a busy loop on every core where ``load`` asks for it; the records of each time.

    Args:
        cache: what need not be made again: a folder that is copied for each time. Without, all of it is made again.
    """
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="ocr-repeats-") as own, busy() if load else contextlib.nullcontext():
            place = Path(own) / "cache"
            if cache is not None:
                shutil.copytree(cache, place)
            yield [judge(arguments, folder, place) for arguments in runs]


def convert(runs: Sequence[Sequence[str]], folder: Path, cache: Path) -> None:
    """Fill a cache with all but what the checks of `MEASURED` hang on."""
    others = [f"--ocr-check={name}" for name in CHECKS if name not in (*MEASURED, SEARCH)]
    for arguments in runs:
        judge([*arguments, *others], folder, cache)


def main(arguments: Sequence[str] | None = None) -> int:
    """The script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=20, metavar="N", help="how often (20)")
    parser.add_argument("--load", action="store_true", help="beside a busy loop on every core")
    parser.add_argument("--cases", action="append", choices=sorted(CASES), help="which (captcha); repeat for more")
    parser.add_argument("--anew", type=int, metavar="N", help="how many of them make the artifacts anew, too (all)")
    options = parser.parse_args(arguments)
    anew = options.times if options.anew is None else min(options.anew, options.times)
    runs = [line for name in options.cases or ["captcha"] for line in lines(name)]
    began = time.monotonic()
    every: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="ocr-repeats-") as own:
        folder, made = Path(own), Path(own) / "made"
        if anew < options.times:
            convert(runs, folder, made)
        for records in itertools.chain(
            repeat(runs, folder, anew, load=options.load),
            repeat(runs, folder, options.times - anew, load=options.load, cache=made),
        ):
            every.append(records)
            said = verdicts(records)
            counts = {verdict: list(said.values()).count(verdict) for verdict in dict.fromkeys(said.values())}
            listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
            again = [f"{case} looked {n} times" for case, n in _looks(records).items() if n > 1]
            wrong = alarms([said])
            print(f"{len(every)}: {'; '.join([listed, *again, *wrong])} [{time.monotonic() - began:.0f} s]", flush=True)
    repeats = [verdicts(records) for records in every]
    values = moved(every)
    print("\nclosest to their limits:")
    for value in sorted(values, key=lambda value: value.room)[:12]:
        print(f"  {value}")
    print("moved most, of those with a limit:")
    for value in sorted((value for value in values if value.limit is not None), key=lambda v: -v.spread)[:12]:
        print(f"  {value}")
    found = [*flickers(repeats), *alarms(repeats)]
    for line in found:
        print(f"NOT STEADY: {line}")
    beside = "beside a busy loop on every core" if options.load else "on the machine as it is"
    print(
        f"{len(repeats)} times {len(repeats[0]) if repeats else 0} checks {beside}: "
        f"{'verdicts differ or are no pass' if found else 'the same verdicts each time'}"
    )
    return 1 if found or not repeats else 0


def _looks(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many looks latency took, by case."""
    return {
        case: known["checks"]["latency"]["data"].get("looks", 1)
        for record in records
        for case, known in record["cases"].items()
        if "latency" in known["checks"]
    }


if __name__ == "__main__":
    sys.exit(main())
