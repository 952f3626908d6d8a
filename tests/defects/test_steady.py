"""No false alarms: good cases judged again and again, idle and beside a busy loop on every core, get the same verdicts.

The short form measures anew what flickers (latency, memory, repeatability) and converts once; the whole does all anew.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .repeats import (
    MEASURED,
    Moved,
    alarms,
    busy,
    convert,
    flickers,
    judge,
    lines,
    main,
    moved,
    repeat,
    verdicts,
)  # fmt: skip

PATIENCE = 60.0


def record(verdict: str = "passed", measured: float = 1.0, ends: list[float] | None = None) -> dict[str, Any]:
    """A record of one case and one check."""
    value = {"name": "ratio", "measured": measured, "limit": 2.0, "most": True}
    data = {"intervals": {"ratio": ends}} if ends else {}
    return {"cases": {"m/r/int8@t": {"checks": {"latency": {"verdict": verdict, "values": [value], "data": data}}}}}


def test_a_verdict_that_changes_is_named_with_how_often() -> None:
    same = [verdicts([record()]) for _ in range(3)]
    assert (flickers(same), alarms(same)) == ([], [])
    other = [*same, verdicts([record("failed")]), {}]
    assert flickers(other) == ["m/r/int8@t latency: 3 times passed, 1 times failed, 1 times not judged"]
    assert alarms(other) == ["m/r/int8@t latency: failed"]
    assert alarms([verdicts([record("undecided")])] * 2) == ["m/r/int8@t latency: undecided"]
    assert alarms([verdicts([record("unsupported")])]) == []


def test_the_room_is_what_the_worst_end_of_any_interval_left() -> None:
    (found,) = moved([[record(measured=1.0)], [record(measured=1.2, ends=[1.1, 1.6])]])
    assert found == Moved("m/r/int8@t", "latency", "ratio", 1.0, 1.6, 2.0, True)
    assert found.room == pytest.approx(0.2)
    least = Moved("m/r/int8@t", "text", "agreement", 0.9, 1.0, 0.8, False)
    assert least.room == pytest.approx(0.125)


def loops(pids: list[int]) -> list[psutil.Process]:
    """Those that still run."""
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_busy_loops_are_busy_and_end_with_their_block() -> None:
    with busy(2) as pids:
        running = loops(pids)
        assert len(running) == 2
        until = time.monotonic() + PATIENCE
        while min(process.cpu_times().user for process in running) < 0.3:
            assert time.monotonic() < until, "a loop does nothing"
            time.sleep(0.05)
    assert not loops(pids)


def test_busy_loops_outlive_nobody() -> None:
    """Not even whoever is killed."""
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from repeats import busy
with busy(2) as pids:
    print(*pids, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        process.kill()
    until = time.monotonic() + PATIENCE
    while left := loops(pids):
        assert time.monotonic() < until, left
        time.sleep(0.05)


@pytest.fixture
def own_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Job slots of its own: latency waits for no other run's jobs."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def assert_steady(repeats: list[list[dict[str, Any]]]) -> None:
    """The same verdicts in all of them, and no false alarm."""
    said = [verdicts(records) for records in repeats]
    near = "\n".join(str(value) for value in sorted(moved(repeats), key=lambda value: value.room)[:8])
    assert said[0]
    assert not flickers(said) + alarms(said), near


@pytest.mark.usefixtures("own_slots")
def test_a_toy_is_judged_the_same_each_time(downstream: Path, whole: bool) -> None:
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(contract.read_text().replace("ratio_to_float32 = 1000", "ratio_to_float32 = 2"))
    run = ["--ocr-model=reader", "--ocr-mode=float32", "--ocr-mode=int8"]
    times = 20 if whole else 2
    found = [records for load in (False, True) for records in repeat([run], downstream, times, load=load)]
    assert_steady(found)
    assert len(found) == 2 * times
    assert all(known["runs"][0]["jobs_run"] > 10 for records in found for known in records)  # nothing from a cache


@pytest.mark.usefixtures("own_slots")
def test_the_script_fails_where_a_toy_flickers(
    downstream: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A runtime that remembers nothing but how often it was asked."""
    hops = downstream / "hops.py"
    counter = downstream / "counter"
    hops.write_text(
        hops.read_text().replace(
            '    facts: dict[str, Any] = {"threads"',
            f'    with open({str(counter)!r}, "a+") as log:\n        log.write("x")\n'
            f'    contenders["artifact"].slow = os.path.getsize({str(counter)!r}) > 1\n'
            '    facts: dict[str, Any] = {"threads"',
        )
        + "\n\n_invoke = _Interpreter.invoke\n\n\ndef invoke(self, image):\n"
        "    for _ in range(20 if getattr(self, 'slow', False) else 0):\n        _invoke(self, image)\n"
        "    return _invoke(self, image)\n\n\n_Interpreter.invoke = invoke\n"
    )
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(contract.read_text().replace("ratio_to_float32 = 1000", "ratio_to_float32 = 5"))
    repeats = sys.modules[main.__module__]
    monkeypatch.setattr(repeats, "CASES", {"captcha": (("reader", "pack", ("int8",)),)})
    monkeypatch.setattr(repeats, "judge", lambda arguments, _folder, cache: judge(arguments, downstream, cache))
    assert main(["--times=2"]) == 1
    text = capsys.readouterr().out
    assert "latency: 1 times passed, 1 times failed" in text
    assert "the same verdicts each time" not in text


def needed(*modules: str) -> None:
    """Skip where one is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: built-in models are judged in tox's `modern`")


def twice(runs: list[list[str]], folder: Path, times: int, cache: Path | None) -> Iterator[list[dict[str, Any]]]:
    """Idle, as far as the machine is, and loaded."""
    for load in (False, True):
        yield from repeat(runs, folder, times, load=load, cache=cache)


@pytest.mark.usefixtures("own_slots")
def test_captcha_ocr_is_measured_the_same_each_time(tmp_path: Path, whole: bool) -> None:
    needed("tensorflow", "keras")
    if whole:
        assert_steady(list(twice(lines("captcha"), tmp_path, 20, None)))
        return
    run = ["--ocr-model=captcha-ocr", "--ocr-route=tf-lite", "--ocr-mode=float16", "-k", "not tf-keras"]
    made = tmp_path / "cache"
    convert([[*run, "--ocr-mode=float32"]], tmp_path, made)
    measured = [*run, *(f"--ocr-check={name}" for name in MEASURED)]
    found = list(twice([measured], tmp_path, 2, made))
    assert_steady(found)
    assert {known["runs"][0]["jobs_run"] for records in found for known in records} <= {3, 4, 5}


@pytest.mark.parametrize(("name", "modules"), [("keras-ocr", ("keras_ocr",)), ("craft", ("torch", "litert_torch"))])
@pytest.mark.usefixtures("own_slots")
def test_larger_networks_are_judged_the_same_each_time(
    name: str, modules: tuple[str, ...], tmp_path: Path, whole: bool
) -> None:
    if not whole:
        pytest.skip("only with --whole: minutes")
    needed(*modules)
    assert_steady(list(twice(lines(name), tmp_path, 3, None)))
