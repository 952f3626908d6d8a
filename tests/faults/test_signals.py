"""Ctrl-C, SIGTERM, SIGHUP, SIGKILL and SIGSTOP at each phase of a run: nothing is left, the next run is right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pytest
from filelock import FileLock

from ocr_conformance.cache import Cache
from ocr_conformance.schedule import Slots
from tests.engine.conftest import CHECKOUT, PATIENCE, wait_for
from tests.repository import OURS, QUICK, SLOW, Repository, finish, plain_signals

WAIT = """

import time
import {module}

_real = {module}.{name}

def _late(*given, **named):
    Path({there!r}).touch()
    time.sleep({seconds})
    result = _real(*given, **named)
    Path({there!r} + "-and-back").touch()
    return result

{module}.{name} = _late
"""


def wait_in(repository: Repository, module: str, name: str, seconds: float) -> None:
    """Let a function of ours take so long, and say that it is being called."""
    with (repository.root / "conftest.py").open("a") as stream:
        stream.write(WAIT.format(module=module, name=name, seconds=seconds, there=str(repository.root / "there")))


def there(repository: Repository) -> bool:
    """Whether the run waits there."""
    return (repository.root / "there").exists()


@dataclass(frozen=True)
class Phase:
    """A phase of a run: how a run is made to stay in it, and how it is known to be there."""

    prepare: Callable[[Repository], object]
    there: Callable[[Repository], bool]
    arguments: tuple[str, ...] = QUICK


def _in(module: str, name: str, *arguments: str, seconds: float = 600) -> Phase:
    return Phase(lambda repository: wait_in(repository, module, name, seconds), there, arguments or QUICK)


def _import(repository: Repository) -> None:
    """What a warm parent imports never ends."""
    endless = repository.root / "endless.py"
    endless.write_text(
        f"import pathlib, time\npathlib.Path({str(repository.root / 'there')!r}).touch()\ntime.sleep(600)\n"
    )
    text = repository.contract.read_text()
    framework = 'framework = "numpy"'
    repository.contract.write_text(text.replace(framework, f'{framework}\npreload = ["{endless}"]'))


def _conversion(repository: Repository) -> None:
    repository.slow(600)


def _latency(repository: Repository) -> None:
    """The job that measures never ends."""
    hops = repository.root / "hops.py"
    stuck = f"    open({str(repository.root / 'there')!r}, 'w').close()\n    time.sleep(600)\n"
    hops.write_text(hops.read_text().replace("    for _ in range(20):\n", f"{stuck}    for _ in range(20):\n", 1))


PHASES = {
    "weights": _in("ocr_conformance.weights", "resolve"),
    "collection": _in("ocr_conformance.conformance", "Engine.checks_of"),
    "start": _in("ocr_conformance.conformance", "Engine.source"),
    "conversion": Phase(_conversion, Repository.converting, SLOW),
    "import": Phase(_import, there),
    "storing": _in("ocr_conformance.cache", "Cache.store", seconds=3),
    "judging": _in("ocr_conformance.conformance", "apply_claims"),
    "latency": Phase(_latency, there, (*QUICK[:2], "--ocr-check=latency")),
}
STOPS = {signal.SIGINT: 2, signal.SIGTERM: 143, signal.SIGHUP: 129}


SHORT = {
    ("weights", signal.SIGTERM),
    ("collection", signal.SIGTERM),
    ("conversion", signal.SIGINT),
    ("storing", signal.SIGTERM),
    ("latency", signal.SIGHUP),
}
"""What is tried without --whole."""


@contextmanager
def held(repository: Repository, phase: Phase, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A run that is in a phase."""
    kept = {path: path.read_text() for path in (repository.root / "conftest.py", repository.root / "hops.py")}
    kept[repository.contract] = repository.contract.read_text()
    phase.prepare(repository)
    process = repository.start(*phase.arguments, *more)
    try:
        wait_for(lambda: phase.there(repository) or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        yield process
    finally:
        process.kill()
        for path, text in kept.items():
            path.write_text(text)
        (repository.root / "there").unlink(missing_ok=True)


def deliver(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal that the process does not ignore."""
    with open(f"/proc/{process.pid}/status") as stream:
        (line,) = [line for line in stream if line.startswith("SigIgn:")]
    assert not int(line.split()[1], 16) >> (number - 1) & 1, f"{number.name} is ignored: the test would try nothing"
    process.send_signal(number)


def right(repository: Repository, *arguments: str) -> None:
    """The run after it is right, and leaves nothing either."""
    assert "1 passed" in repository.run(*(arguments or QUICK))
    assert "nothing converted or run" in repository.run(*(arguments or QUICK))
    repository.nothing_left()


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_is_stopped_ends_in_order(
    repository: Repository, phase: str, number: signal.Signals, whole: bool
) -> None:
    if not whole and (phase, number) not in SHORT:
        pytest.skip("all of them with --whole")
    with held(repository, PHASES[phase]) as process:
        deliver(process, number)
        finish(process, STOPS[number])
        repository.nothing_left()
    titles = [info.title for info in Cache(repository.cache).entries()] if repository.cache.exists() else []
    assert phase != "conversion" or not any("pack" in title for title in titles), "it was not finished"
    if whole or phase == "storing":
        right(repository)


@pytest.mark.parametrize("number", STOPS)
def test_workers_of_xdist_are_stopped_with_their_controller(
    repository: Repository, number: signal.Signals, whole: bool
) -> None:
    pytest.importorskip("xdist")
    if not whole and number != signal.SIGTERM:
        pytest.skip("all of them with --whole")
    with held(repository, PHASES["conversion"], "-p", "xdist", "-n", "2") as process:
        deliver(process, number)
        finish(process, STOPS[number])
        repository.nothing_left()


@pytest.mark.parametrize("number", STOPS)
def test_a_run_that_is_stopped_while_it_writes_its_report_has_written_it(
    repository: Repository, number: signal.Signals, whole: bool
) -> None:
    if not whole and number != signal.SIGTERM:
        pytest.skip("all of them with --whole")
    report = repository.root / "run.json"
    phase = _in("ocr_conformance.report", "as_json", seconds=2)
    with held(repository, phase, f"--ocr-report={report}") as process:
        deliver(process, number)
        finish(process, 0)
    assert json.loads(report.read_text())["runs"][0]["jobs_run"] > 0
    repository.nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_reports_what_it_has_judged(repository: Repository, number: signal.Signals) -> None:
    """A second signal, as of an impatient user, disturbs nothing."""
    report = repository.root / "run.json"
    both = (*QUICK, "--ocr-model=reader:slow", f"--ocr-report={report}")
    wait_in(repository, "ocr_conformance.plugin", "Conformance.take", 0)
    with held(repository, Phase(_conversion, Repository.converting, both)) as process:
        wait_for((repository.root / "there-and-back").exists)
        deliver(process, number)
        time.sleep(0.01)
        process.send_signal(number)
        finish(process, STOPS[number])
    repository.nothing_left()
    checks = json.loads(report.read_text())["cases"]
    assert [(case.partition("@")[0], known["checks"]["text"]["verdict"]) for case, known in checks.items()] == [
        ("reader/pack/float32", "passed")
    ]


def test_a_run_that_waits_for_another_is_stopped_and_the_other_is_right(repository: Repository) -> None:
    repository.slow(8)
    first = repository.begin()
    second = repository.start(*SLOW)
    wait_for(lambda: len(list((repository.cache / "runs").iterdir())) == 2)
    time.sleep(1)
    deliver(second, signal.SIGTERM)
    finish(second, 143)
    assert first.poll() is None
    assert "1 passed" in finish(first, 0)
    repository.nothing_left()


def test_a_run_that_waits_for_its_turn_on_the_machine_is_stopped(repository: Repository) -> None:
    folder = repository.temporary / f"ocr-conformance-{os.getuid()}"
    folder.mkdir(mode=0o700)
    with FileLock(folder / "gate.lock"):
        process = repository.start(*QUICK)
        wait_for(lambda: (repository.cache / "code").is_dir() and list((repository.cache / "tmp").iterdir()))
        time.sleep(0.5)
        deliver(process, signal.SIGINT)
        finish(process, 2)
    repository.nothing_left()
    right(repository)


def test_a_run_that_is_killed_leaves_what_the_next_one_clears(repository: Repository) -> None:
    with held(repository, PHASES["conversion"]) as process:
        process.kill()
        process.communicate(timeout=PATIENCE)
    wait_for(repository.unmarked)
    assert list((repository.cache / "tmp").iterdir()), "its workspace"
    assert "1 passed" in repository.run(*QUICK)
    for note in (repository.temporary / f"ocr-conformance-{os.getuid()}").glob("slot-*.json"):
        note.unlink()  # says what the dead run was at, until a job takes the same place
    repository.nothing_left()


def test_a_temporary_cache_goes_when_its_run_is_stopped(repository: Repository) -> None:
    repository.slow(600)
    process = repository.start(*SLOW, "--ocr-no-cache")
    jobs = Slots(1, repository.temporary / f"ocr-conformance-{os.getuid()}")
    wait_for(lambda: any("pack(" in title for title, _, _ in jobs.running()))
    deliver(process, signal.SIGTERM)
    finish(process, 143)
    repository.nothing_left()


def test_a_run_that_is_halted_goes_on(repository: Repository) -> None:
    repository.slow(3)
    process = repository.begin()
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    time.sleep(4)
    process.send_signal(signal.SIGCONT)
    assert "1 passed" in finish(process, 0)
    repository.nothing_left()


FORKS = """
import multiprocessing, signal, time
from ocr_conformance.stopping import Stopping
stopping = Stopping()
stopping.install()
begun = multiprocessing.get_context("fork").Event()
def sleep():
    begun.set()
    time.sleep(600)
process = multiprocessing.get_context("fork").Process(target=sleep)
process.start()
begun.wait()
process.terminate()
process.join()
print(process.exitcode, stopping.caught)
"""


def test_what_a_test_has_forked_ends_by_its_own_signals() -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", FORKS], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert (done.stdout, done.stderr) == (f"{-signal.SIGTERM} 0\n", "")


BUSY = """
import signal, sys, time
from ocr_conformance.stopping import Stopping
stopping = Stopping()
stopping.install()
with stopping.uninterrupted():
    print("writing", flush=True)
    for line in sys.stdin:
        print(line.strip(), flush=True)
"""


def test_who_insists_ends_what_never_ends() -> None:
    """One signal more than is ignored while reports are written, say; those in quick succession are one."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        [sys.executable, "-c", BUSY],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=plain_signals,  # noqa: PLW1509 - no threads here
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        process.stdin.write("undisturbed\n")
        process.stdin.flush()
        assert process.stdout.readline() == "undisturbed\n"
        time.sleep(2.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == -signal.SIGTERM


def convert(repository: Repository) -> subprocess.Popen[str]:
    """The command that converts the slow model."""
    given = ("--model-path=models", "--hooks=conftest.py", f"--cache={repository.cache}")
    return repository.launch([*OURS, "convert", "reader:slow", "--mode=float32", *given])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_command_that_is_stopped_ends_in_order(
    repository: Repository, number: signal.Signals, status: int, whole: bool
) -> None:
    if not whole and number == signal.SIGHUP:
        pytest.skip("all of them with --whole")
    repository.slow(600)
    process = convert(repository)
    wait_for(repository.converting)
    deliver(process, number)
    process.send_signal(number)
    assert finish(process, status) == ""
    repository.nothing_left()
    assert not list(repository.root.rglob("artifacts/*.bin"))
    repository.slow(0)
    assert "1 of 1 cases written" in finish(convert(repository), 0)
    repository.nothing_left()
