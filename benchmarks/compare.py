"""What the plugin costs, side by side with doing without it. Reports ratios; asserts nothing.

``python benchmarks/compare.py idle`` compares plain pytest with the plugin installed but unused.
``python benchmarks/compare.py judge MODEL [pytest options]`` runs a matrix cold, then warm, then as one bare process
that calls the same conversions and invokes one after the other, without isolation, cache or checks. Conversions that
take a process down are left out of the bare run (it would end there), which favours it.
``python benchmarks/compare.py invoke A.tflite B.tflite ...`` times invokes of artifacts with the same inputs, in turns.

Run it on a quiet machine, in an environment with the frameworks (``pip install -e ".[keras-ocr,test]"``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_ROUNDS = 11


def main() -> None:
    """Parse the command line and run one comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("idle").set_defaults(run=lambda _: idle())
    judged = commands.add_parser("judge")
    judged.add_argument("model")
    judged.add_argument("--keep", type=Path, help="use this cache folder and keep it")
    judged.set_defaults(run=judge)
    artifacts = commands.add_parser("invoke")
    artifacts.add_argument("files", nargs="+", type=Path)
    artifacts.set_defaults(run=invoke)
    one = commands.add_parser("bare")
    one.add_argument("settings", type=Path)
    one.set_defaults(run=bare)
    options, rest = parser.parse_known_args()
    options.rest = rest
    options.run(options)


def idle() -> None:
    """Import of the plugin module, and an empty run with and without it, in turns."""
    contenders: dict[str, list[str]] = {
        "pytest, plugin blocked": ["-m", "pytest", "-q", "-p", "no:ocr_conformance", "test_empty.py"],
        "pytest, plugin idle": ["-m", "pytest", "-q", "test_empty.py"],
        "python, import pytest": ["-c", "import pytest"],
        "python, import pytest and the plugin": ["-c", "import pytest, ocr_conformance.plugin"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_empty.py").write_text("def test_empty(): pass\n")
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        for number in range(_ROUNDS + 1):
            for name, arguments in contenders.items():
                spent = _seconds(lambda a=arguments: subprocess.run(  # type: ignore[misc]
                    [sys.executable, *a], cwd=folder, check=True, stdout=subprocess.DEVNULL
                ))  # fmt: skip
                if number:  # the first round fills the bytecode cache
                    seconds[name].append(spent)
    median = {name: statistics.median(values) * 1e3 for name, values in seconds.items()}
    for name, value in median.items():
        print(f"{name:40} {value:7.1f} ms  (median of {_ROUNDS}, least {min(seconds[name]) * 1e3:.1f})")
    run, imported = (
        [name for name in median if name.startswith("pytest")],
        [n for n in median if n.startswith("python")],
    )
    print(f"an idle run costs {median[run[1]] - median[run[0]]:+.1f} ms ({median[run[1]] / median[run[0]]:.3f}x)")
    print(f"importing the plugin costs {median[imported[1]] - median[imported[0]]:+.1f} ms")


def judge(options: argparse.Namespace) -> None:
    """Cold, warm and bare, of one model's matrix."""
    with tempfile.TemporaryDirectory(prefix="ocr-benchmark-") as temporary:
        cache = options.keep or Path(temporary) / "cache"
        record = Path(temporary) / "run.json"
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", f"--ocr-model={options.model}", *options.rest]
        command += [f"--ocr-cache={cache}", f"--ocr-report={record}"]
        spent, peak = {}, {}
        for name in ("cold", "warm"):
            spent[name], peak[name] = _run(command)
            print(
                f"{name}: {spent[name]:.1f} s, peak memory of the pytest process {peak[name] / 2**20:.0f} MB",
                flush=True,
            )
        spent["bare"] = 0.0
        for environment, cases in _by_environment(list(json.loads(record.read_text())["cases"])).items():
            settings = Path(temporary) / "bare.json"
            settings.write_text(json.dumps({"cases": cases, "cache": str(cache)}))
            seconds, highest = _run([sys.executable, __file__, "bare", str(settings)], dict(environment))
            print(f"bare {dict(environment)}: {seconds:.1f} s, peak memory {highest / 2**20:.0f} MB", flush=True)
            spent["bare"] += seconds
        print(f"cold / bare {spent['cold'] / spent['bare']:.2f}   warm / cold {spent['warm'] / spent['cold']:.3f}")


def invoke(options: argparse.Namespace) -> None:
    """Processor time of one invoke, 1 thread, state reset before each; inputs drawn from [0, 1)."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreters = [Interpreter(str(path), num_threads=1) for path in options.files]
    spent: list[list[float]] = [[] for _ in interpreters]
    for interpreter in interpreters:
        interpreter.allocate_tensors()
    for number in range(10 * _ROUNDS + 1):
        for interpreter, times in zip(interpreters, spent, strict=True):
            interpreter.reset_all_variables()
            random = np.random.default_rng(number)  # the same picture for all of a round
            for detail in interpreter.get_input_details():
                interpreter.set_tensor(detail["index"], random.random(detail["shape"], np.float32))
            started = time.process_time()
            interpreter.invoke()
            if number:
                times.append(1e3 * (time.process_time() - started))
    first = statistics.median(spent[0])
    for path, times in zip(options.files, spent, strict=True):
        median = statistics.median(times)
        kilobytes = path.stat().st_size / 1024
        print(f"{path}: {kilobytes:.0f} KB, {median:.2f} ms (median of {len(times)}), {median / first:.3f}x the first")


def _by_environment(cases: list[str]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """Cases by the variables that bind when their framework is imported: a process can have one set of them."""
    from ocr_conformance.cases import Case
    from ocr_conformance.registry import Registry

    registry = Registry.built_in()
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for text in cases:
        case = Case.parse(text)
        variables = registry.models[case.model].contract.settings(case.variant).environment
        found.setdefault(tuple(sorted(variables.items())), []).append(text)
    return found


def bare(options: argparse.Namespace) -> None:
    """Call every job function of these cases in this process, one after the other."""
    from ocr_conformance.cases import Case
    from ocr_conformance.conformance import Engine, Settings
    from ocr_conformance.job import Job
    from ocr_conformance.registry import Registry
    from ocr_conformance.worker import resolve

    given = json.loads(options.settings.read_text())
    cases = [Case.parse(text) for text in given["cases"]]
    settings = Settings(models=tuple(dict.fromkeys(case.model_id for case in cases)), cache=Path(given["cache"]))
    with Engine(settings, Registry.built_in()) as engine, tempfile.TemporaryDirectory(prefix="ocr-bare-") as folder:
        tasks = {task.key: task for task in engine.tasks((c, k.name) for c in cases for k in engine.checks_of(c))}
        every = {each.key: each for task in tasks.values() for each in task.closure()}
        done: dict[str, Path] = {}
        left_out = failed = 0
        for key, task in every.items():
            known = engine.cache.lookup(key, engine.limits)
            if known is None or known.kind not in ("ok", "exception"):
                left_out += 1
                continue
            if any(before.key not in done for before in task.inputs.values()):
                continue
            out = Path(folder) / key
            out.mkdir()
            inputs = {name: done[before.key] for name, before in task.inputs.items()}
            try:
                resolve(task.function)(Job(task.params, inputs, out))
                done[key] = out
            except Exception:
                failed += 1
        print(f"{len(done)} jobs in one process, {failed} raised, {left_out} left out")


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _run(command: list[str], environment: dict[str, str] | None = None) -> tuple[float, int]:
    """Wall seconds of a process, and the peak resident bytes of it alone (not of its children)."""
    started = time.perf_counter()
    single = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")
    single["TF_CPP_MIN_LOG_LEVEL"] = "1"  # as in a job
    variables = {**os.environ, **single, **environment} if environment is not None else None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=variables)
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, *(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")))
        except (OSError, ValueError, TypeError):
            pass
        time.sleep(0.05)
    return time.perf_counter() - started, peak


if __name__ == "__main__":
    main()
