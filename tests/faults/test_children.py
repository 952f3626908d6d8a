"""What a child can do wrong, for real: it ends as an outcome, the same job run again is right, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from ocr_conformance import isolation
from ocr_conformance.cache import Cache, digest
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import JobRequest, Limits, Runner, Workplace
from ocr_conformance.schedule import Scheduler, Slots, Task
from tests.engine.conftest import CHECKOUT, PATIENCE, processes, wait_for

FAULTY = Path(__file__).with_name("faulty.py")
MEMORY = 64 << 20
DISK = f"its files take more than {2 * MEMORY >> 20} MB of disk, twice the limit of its memory"

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")

Run = Callable[..., Outcome]


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """What every process of a test bears in its arguments or its environment."""
    return str(tmp_path)


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, str]:
    """A file and a folder that are none of a job's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("a secret")
    return {"folder": str(folder), "secret": str(folder / "secret"), "elsewhere": str(tmp_path / "elsewhere.bin")}


@pytest.fixture
def bench(
    temporary: Path, runner: Runner, workplace: Workplace, tmp_path: Path, outside: dict[str, str]
) -> Iterator[Run]:
    """``bench("fault")``: the outcome of the job that has the fault; ``bench()``: of the same job without it."""
    flag = tmp_path / "flag"
    folders = iter(range(10))

    def run(fault: str = "", *, seconds: float = PATIENCE, fresh: bool = False) -> Outcome:
        flag.touch() if fault else flag.unlink(missing_ok=True)
        out = tmp_path / f"out-{next(folders)}"
        out.mkdir()
        params = {"fault": fault, "flag": str(flag), "mark": str(tmp_path), **outside}
        request = JobRequest(f"{FAULTY}:job", params, {}, out, fresh)
        return runner.run(workplace, request, Limits(seconds, MEMORY))

    yield run
    for number in range(next(folders)):
        isolation.remove(tmp_path / f"out-{number}")


def workers(runner: Runner) -> set[int]:
    """The warm parents."""
    return {parent._process.pid for parent in runner._parents.values()}


def assert_right(bench: Run) -> None:
    """The same job without its fault."""
    outcome = bench()
    assert (outcome.kind, outcome.message, outcome.facts) == ("ok", "", {"answer": 42})
    assert outcome.folder is not None
    assert [path.name for path in outcome.folder.iterdir()] == ["answer.txt"]


def assert_sentence(message: str) -> None:
    assert message and "\n" not in message and "Traceback" not in message and len(message) < 300, message


LEFT = "the process left with status 0 and "
FAULTS = [
    # fault, seconds, kind, stage, message
    ("segv", PATIENCE, "signal", "convert", "SIGSEGV"),
    ("abort", PATIENCE, "signal", "convert", "SIGABRT"),
    ("kill", PATIENCE, "signal", "convert", "SIGKILL"),
    ("leave", PATIENCE, "exit", "convert", LEFT + "no result"),
    ("loop", 1, "timeout", "convert", "still running after 1 s"),
    ("loop_in_c", 1, "timeout", "convert", "still running after 1 s"),
    ("touch_20_gigabytes", PATIENCE, "memory", "convert", "more than 64 MB of resident memory"),
    ("noise_in_one_line", PATIENCE, "exception", "convert", "RuntimeError: enough said"),
    ("endless_noise", PATIENCE, "memory", "convert", DISK),
    ("endless_files", PATIENCE, "memory", "convert", DISK),
    ("endless_temporary_files", PATIENCE, "memory", "convert", DISK),
    ("endless_file_elsewhere", PATIENCE, "memory", "convert", DISK),
    ("terabyte", PATIENCE, "memory", "convert", DISK),
    ("daemon_and_crash", PATIENCE, "signal", "convert", "SIGSEGV"),
    ("daemon_and_hang", 3, "timeout", "convert", "still running after 3 s"),
    ("result_cut_off", PATIENCE, "exit", "convert", LEFT + "a result that is no JSON"),
    ("result_no_json", PATIENCE, "exit", "convert", LEFT + "a result that is no JSON"),
    ("result_deep", PATIENCE, "exit", "convert", LEFT + "a result that is no JSON"),
    ("result_list", PATIENCE, "exit", "convert", LEFT + "a result of the wrong shape"),
    ("result_facts_list", PATIENCE, "exit", "convert", LEFT + "a result of the wrong shape"),
    ("result_ok_text", PATIENCE, "exit", "convert", LEFT + "a result of the wrong shape"),
    ("result_no_message", PATIENCE, "exit", "convert", LEFT + "a result of the wrong shape"),
    ("result_of_another_job", PATIENCE, "exit", "convert", LEFT + "the result of another job"),
    ("result_pipe", PATIENCE, "exit", "convert", LEFT + "no result"),
    ("result_endless", PATIENCE, "exit", "convert", LEFT + "no result"),
    ("result_folder", PATIENCE, "exit", "convert", LEFT + "no result"),
    ("stage_garbage", PATIENCE, "signal", "import", "SIGSEGV"),
    ("stage_pipe", PATIENCE, "signal", "import", "SIGSEGV"),
    ("log_is_a_link", PATIENCE, "signal", "convert", "SIGSEGV"),
    ("folder_closed", PATIENCE, "exit", "convert", LEFT + "no result"),
    ("folder_gone", PATIENCE, "exit", "import", "the process left with status 70 and no result"),
    ("folder_is_a_link", PATIENCE, "exit", "import", LEFT + "no result"),
    ("folder_is_a_file", PATIENCE, "exit", "import", LEFT + "no result"),
    ("folders_without_end", PATIENCE, "exit", "convert", LEFT + "folders in each other, more than 100 deep"),
]
ONLY_ON_LINUX = ("daemon_and_crash", "daemon_and_hang", "touch_20_gigabytes")


@pytest.mark.parametrize(
    "expected", [pytest.param(each, id=each[0], marks=[linux] if each[0] in ONLY_ON_LINUX else []) for each in FAULTS]
)
def test_a_fault_is_an_outcome_and_the_next_run_of_the_job_is_right(
    bench: Run, runner: Runner, mark: str, outside: dict[str, str], expected: tuple[str, float, str, str, str]
) -> None:
    fault, seconds, *ending = expected
    outcome = bench(fault, seconds=seconds)
    assert [outcome.kind, outcome.stage, outcome.message] == ending, outcome
    assert outcome.folder is None
    assert "a secret" not in str(outcome.tail)
    assert {process.pid for process in processes(mark)} == workers(runner), "only the warm parent is there"
    assert Path(outside["secret"]).read_text() == "a secret"
    elsewhere = Path(outside["elsewhere"])
    assert not elsewhere.exists() or elsewhere.stat().st_size <= 2 * MEMORY
    elsewhere.unlink(missing_ok=True)
    assert_right(bench)
    assert len(workers(runner)) == 1


@pytest.mark.parametrize("fault", ["segv", "leave", "endless_noise", "result_no_json"])
def test_a_process_that_imported_nothing_has_the_same_faults(bench: Run, fault: str) -> None:
    outcome = bench(fault, fresh=True)
    expected = next(each for each in FAULTS if each[0] == fault)
    assert (outcome.kind, outcome.stage, outcome.message) == expected[2:]
    assert_right(bench)


@linux
@pytest.mark.parametrize("fault", ["a_child_that_hoards", "many_children_that_hoard"])
def test_what_a_job_starts_is_held_to_its_memory(bench: Run, runner: Runner, mark: str, fault: str) -> None:
    outcome = bench(fault)
    assert (outcome.kind, outcome.message) == ("memory", "more than 64 MB of resident memory")
    assert {process.pid for process in processes(mark)} == workers(runner)
    assert_right(bench)


@pytest.mark.parametrize(
    "fault",
    [
        "grandchild",
        *[
            pytest.param(name, marks=linux)
            for name in ("grandchild_in_a_session_of_its_own", "daemon", "chain_of_daemons")
        ],
    ],
)
def test_no_process_outlives_its_job(bench: Run, runner: Runner, mark: str, fault: str) -> None:
    outcome = bench(fault)
    assert outcome.ok, outcome
    assert {process.pid for process in processes(mark)} == workers(runner)
    zombies = [each for pid in workers(runner) for each in psutil.Process(pid).children()]
    assert zombies == []
    assert_right(bench)


def daemons(mark: str) -> list[psutil.Process]:
    """Those of `faulty.daemon` that run; one may end while it is looked at."""
    found = []
    for process in processes(mark):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-1:] == ["daemon"]:
                found.append(process)
    return found


@linux
def test_the_daemon_of_a_job_that_runs_is_let_live_when_another_job_ends(bench: Run, mark: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(bench, "daemon_and_hang", seconds=10)
        wait_for(lambda: daemons(mark))
        assert bench("leave").kind == "exit"
        assert daemons(mark)
        assert hanging.result(PATIENCE).kind == "timeout"
    assert not daemons(mark)


NOISE = """
import resource, sys, time
from pathlib import Path
from ocr_conformance.isolation import JobRequest, Limits, Runner, Workplace
path, function, flag, *folders = sys.argv[1:]
runner, place, grown = Runner(), Workplace(sys.executable, (path,)), []
for fault, folder in zip(("noise", "noise", "noise_in_one_line"), folders):
    request = JobRequest(function, {"flag": flag, "fault": fault}, {}, Path(folder))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = runner.run(place, request, Limits(60, 1 << 30))
    grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    print(outcome.kind, outcome.tail[-1:][0][:30] if outcome.tail else "")
runner.close()
print(max(grown) if sys.platform != "darwin" else max(grown) // 1024)
"""


def test_a_hundred_megabytes_of_noise_take_no_memory_of_ours(
    temporary: Path, worker_path: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    arguments = [str(worker_path), f"{FAULTY}:job", str(FAULTY), *map(str, folders)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", NOISE, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    first, second, third, grown = done.stdout.splitlines()
    assert first == second == "ok "
    assert third == "exception RuntimeError: enough said"
    assert int(grown) < 20_000, "kilobytes; they wrote 100 MB"


@pytest.mark.parametrize("fault", ["say_garbage", "say_numbers", "say_of_no_job", "say_without_end"])
@linux
def test_a_worker_process_that_talks_nonsense_is_replaced(bench: Run, runner: Runner, mark: str, fault: str) -> None:
    outcome = bench(fault)
    assert (outcome.kind, outcome.stage) == ("exception", "import")
    assert outcome.message.startswith("the worker process said what is no event: b'")
    assert_sentence(outcome.message)
    wait_for(lambda: {process.pid for process in processes(mark)} <= workers(runner))
    assert_right(bench)


@pytest.mark.parametrize("fault", ["kill_parent", pytest.param("daemon_and_kill_parent", marks=linux)])
def test_a_worker_process_that_is_killed_in_a_job_leaves_nothing(
    bench: Run, runner: Runner, mark: str, fault: str
) -> None:
    outcome = bench(fault)
    assert (outcome.kind, outcome.message) == ("exception", "the worker process ended with status -9")
    wait_for(lambda: {process.pid for process in processes(mark)} <= workers(runner))
    assert_right(bench)


def test_a_job_does_not_fail_because_of_another_in_its_worker_process(
    temporary: Path, runner: Runner, workplace: Workplace, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"

    def run(fault: str) -> Outcome:
        out = tmp_path / fault
        out.mkdir()
        params = {"fault": fault, "flag": str(flag), "begun": str(tmp_path / "begun")}
        return runner.run(workplace, JobRequest(f"{FAULTY}:job", params, {}, out), Limits(PATIENCE, MEMORY))

    flag.touch()
    with ThreadPoolExecutor() as pool:
        innocent = pool.submit(run, "wait_for_the_other")
        wait_for((tmp_path / "begun").exists)
        assert run("kill_parent").message == "the worker process ended with status -9"
        outcome = innocent.result(PATIENCE)
    assert outcome.ok, outcome
    assert outcome.folder is not None
    assert [path.name for path in outcome.folder.iterdir()] == ["answer.txt"]
    wait_for(lambda: {process.pid for process in processes(str(tmp_path))} <= workers(runner))


def test_a_worker_process_that_hangs_is_given_up(
    bench: Run, runner: Runner, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_SILENT_SECONDS", 1.0)
    outcome = bench("stop_parent", seconds=1)
    assert (outcome.kind, outcome.message) == ("timeout", "the worker process did not answer for 1 s")
    wait_for(lambda: {process.pid for process in processes(mark)} <= workers(runner))
    monkeypatch.undo()
    assert_right(bench)


# -- the worker process


@pytest.mark.parametrize("then", ["wait", "return"])
def test_what_a_job_has_started_ends_with_it(run: Run, tmp_path: Path, then: str) -> None:
    mark = f"{tmp_path}/grandchild"
    outcome = run("spawns", mark=mark, then=then, seconds=2)
    assert outcome.kind == ("timeout" if then == "wait" else "ok")
    wait_for(lambda: not processes(mark))


def test_a_preload_that_fails_is_told_once_per_job_and_never_hangs(run: Run, workplace: Workplace) -> None:
    place = replace(workplace, preload=("no_such_framework",))
    for _ in range(2):
        outcome = run("fine", place=place)
        assert (outcome.kind, outcome.stage) == ("exception", "import")
        assert outcome.message == "ModuleNotFoundError: No module named 'no_such_framework'"
        assert any("Traceback" in line for line in outcome.tail)


def test_a_preload_that_crashes_is_told(run: Run, workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text("import os; os.abort()")
    outcome = run("fine", place=replace(workplace, preload=(str(tmp_path / "crash.py"),)))
    assert (outcome.kind, outcome.stage) == ("exception", "import")
    assert outcome.message == "the worker process ended with status -6"


def test_a_preload_that_hangs_is_a_timeout(
    run: Run, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_PRELOAD_SECONDS", 1.0)
    (tmp_path / "hang.py").write_text("import time; time.sleep(600)")
    outcome = run("fine", place=replace(workplace, preload=(str(tmp_path / "hang.py"),)))
    assert (outcome.kind, outcome.stage) == ("timeout", "import")


def test_the_next_job_gets_a_new_parent_when_the_old_one_was_killed(run: Run, runner: Runner) -> None:
    assert run("fine").ok
    (parent,) = runner._parents.values()
    parent._process.kill()
    assert run("fine").ok


def test_a_parent_killed_in_the_middle_of_a_job_leaves_nothing(run: Run, runner: Runner, tmp_path: Path) -> None:
    mark = f"{tmp_path}/grandchild"
    with ThreadPoolExecutor() as pool:
        job = pool.submit(run, "spawns", mark=mark, then="wait")
        wait_for(lambda: processes(mark))
        (parent,) = runner._parents.values()
        parent._process.kill()
        outcome = job.result(PATIENCE)
    assert (outcome.kind, outcome.message) == ("exception", "the worker process ended with status -9")
    wait_for(lambda: not processes(mark))
    assert run("fine").ok


ENGINE = """
import sys
from pathlib import Path
from ocr_conformance.isolation import JobRequest, Limits, Runner, Workplace
path, function, mark, out = sys.argv[1:]
request = JobRequest(function, {"mark": mark, "then": "wait"}, {}, Path(out))
Runner().run(Workplace(sys.executable, (path,)), request, Limits(60, 1 << 30))
"""


def test_a_killed_engine_takes_its_jobs_along(worker_path: Path, jobs: str, tmp_path: Path) -> None:
    mark = f"{tmp_path}/grandchild"
    out = tmp_path / "out"
    out.mkdir()
    arguments = [str(worker_path), f"{jobs}:spawns", mark, str(out)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen([sys.executable, "-c", ENGINE, *arguments], env=environment) as engine:
        wait_for(lambda: (out / ".stage").exists() and len(processes(mark)) == 2)  # the engine and the grandchild
        engine.send_signal(signal.SIGKILL)
    wait_for(lambda: not processes(mark) and not processes(str(worker_path)))


# -- what is left for the cache


class Kitchen:
    """A scheduler on a cache of its own, for jobs of `faulty`."""

    def __init__(self, folder: Path, place: Workplace, outside: dict[str, str]) -> None:
        self.cache = Cache(folder / "cache")
        self.slots = Slots(2, folder / "slots")
        self.flag = folder / "flag"
        self.place = place
        self.outside = outside

    def task(self, name: str, fault: str = "", *inputs: Task) -> Task:
        params = {"fault": fault, "flag": str(self.flag), "mark": "", "depth": 1100, **self.outside}
        before = {f"input-{number}": task for number, task in enumerate(inputs)}
        return Task(digest(name), name, f"{FAULTY}:job", params, self.place, before)

    def run(self, *tasks: Task) -> list[Outcome | None]:
        scheduler = Scheduler(self.cache, self.slots, Limits(PATIENCE, MEMORY))
        try:
            return [scheduler.outcome(task) for task in tasks]
        finally:
            scheduler.close()
            assert not any((self.cache.root / "tmp").iterdir())


@pytest.fixture
def kitchen(temporary: Path, tmp_path: Path, workplace: Workplace, outside: dict[str, str]) -> Iterator[Kitchen]:
    """Where the files of jobs are kept."""
    made = Kitchen(tmp_path, workplace, outside)
    made.flag.touch()
    yield made
    assert not processes(str(tmp_path))


def test_links_and_pipes_are_no_evidence_and_strange_names_are(kitchen: Kitchen, outside: dict[str, str]) -> None:
    task = kitchen.task("leavings", "leavings")
    (outcome,) = kitchen.run(task)
    assert outcome is not None and outcome.ok and outcome.folder is not None
    left = {str(path.relative_to(outcome.folder)) for path in outcome.folder.rglob("*")}
    names = {"answer.txt", "two\nlines", "closed", "closed/file", "entry.json"}
    assert left - {os.fsdecode(b"\xff\xfe")} == names
    assert all(not path.is_symlink() for path in outcome.folder.rglob("*"))
    assert (outcome.folder / "closed" / "file").read_text() == "2"
    assert Path(outside["secret"]).read_text() == "a secret", "the entry was not written through a link"
    assert [path.name for path in Path(outside["folder"]).iterdir()] == ["secret"]
    assert kitchen.cache.verify(task.key)
    assert kitchen.run(task)[0].cached  # type: ignore[union-attr]


def test_a_folder_in_the_place_of_the_entry_s_description_is_removed(kitchen: Kitchen) -> None:
    task = kitchen.task("entry", "entry_folder")
    (outcome,) = kitchen.run(task)
    assert outcome is not None and outcome.ok
    assert kitchen.cache.verify(task.key)


@pytest.mark.parametrize("fault", ["folder_is_a_link", "folder_closed", "folders_without_end", "folder_is_a_file"])
def test_whatever_a_job_makes_of_its_folder_is_removed(kitchen: Kitchen, outside: dict[str, str], fault: str) -> None:
    (outcome,) = kitchen.run(kitchen.task(fault, fault))
    assert outcome is not None and outcome.kind == "exit"
    assert [path.name for path in Path(outside["folder"]).iterdir()] == ["secret"]
    kitchen.flag.unlink()
    kitchen.cache.discard(digest(fault))
    (again,) = kitchen.run(kitchen.task(fault, fault))
    assert again is not None and again.ok


@pytest.mark.parametrize("fault", ["spoil_inputs", "remove_inputs", "add_to_inputs"])
def test_a_job_that_changes_what_others_build_on_fails_and_they_do_not(kitchen: Kitchen, fault: str) -> None:
    first = kitchen.task("first")
    spoils, builds = kitchen.task("spoils", fault, first), kitchen.task("builds", "", first)
    outcome, built = kitchen.run(spoils, builds)
    assert outcome is not None and outcome.kind == "exception"
    assert outcome.message == "the files of first, on which it builds, changed while it ran: they are to be read only"
    assert built is not None and built.ok
    found = kitchen.cache.lookup(first.key, Limits(PATIENCE, MEMORY))
    assert found is not None and found.folder is not None
    assert {path.name: path.read_text() for path in found.folder.glob("*") if path.name != "entry.json"} == {
        "answer.txt": "42"
    }
    kitchen.flag.unlink()
    assert all(each is not None and each.ok for each in kitchen.run(spoils, builds))


def test_an_input_that_is_changed_between_two_jobs_of_a_run_is_made_anew(kitchen: Kitchen) -> None:
    first = kitchen.task("first")
    scheduler = Scheduler(kitchen.cache, kitchen.slots, Limits(PATIENCE, MEMORY))
    try:
        made = scheduler.outcome(first)
        assert made is not None and made.folder is not None
        assert scheduler.outcome(kitchen.task("one", "", first)).ok  # type: ignore[union-attr]
        (made.folder / "answer.txt").write_text("43")
        assert scheduler.outcome(kitchen.task("two", "", first)).ok  # type: ignore[union-attr]
        assert (made.folder / "answer.txt").read_text() == "42"
        assert scheduler.executed == 4
    finally:
        scheduler.close()


# -- without the network


def _without(worker: str, *names: str) -> str:
    """The worker on a system that refuses what these functions ask for."""
    for name in names:
        if name == "network namespace":
            old, new = '_kernel("unshare", _CLONE_NEWNET)', 'raise PermissionError("refused")'
        else:
            old, new = f"def {name}() -> None:", f'def {name}() -> None:\n    raise OSError("refused")'
        assert worker.count(old) == 1, "the worker is written otherwise: nothing would be refused"
        worker = worker.replace(old, new)
    return worker


@linux
@pytest.mark.parametrize(
    "missing",
    [
        (),
        ("network namespace",),  # as for a user without rights: a user namespace gives them
        ("_own_network",),  # as in a container: a filter of system calls
    ],
    ids=["namespace", "user-namespace", "filter"],
)
@pytest.mark.parametrize("fresh", [False, True], ids=["forked", "fresh"])
def test_a_job_cannot_reach_the_network(
    runner: Runner, worker_path: Path, tmp_path: Path, missing: tuple[str, ...], fresh: bool
) -> None:
    loopback = "_own_network" not in missing
    code = tmp_path / "code"
    shutil.copytree(worker_path, code)
    worker = code / "ocr_conformance" / "worker.py"
    worker.write_text(_without(worker.read_text(), *missing))
    place = Workplace(sys.executable, (str(code),))
    asked = subprocess.run(
        [sys.executable, "-m", "ocr_conformance.worker", "network"],
        env={**os.environ, "PYTHONPATH": str(code)}, cwd=code, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if asked != ("loopback" if loopback else "none"):
        pytest.skip(f"this system lets jobs have the network: {asked}")
    out = tmp_path / "out"
    out.mkdir()
    reached = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def serve() -> None:
            connection, _ = server.accept()
            reached.append(connection.recv(9))
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        request = JobRequest(f"{FAULTY}:reach", {"port": server.getsockname()[1]}, {}, out, fresh)
        outcome = runner.run(place, request, Limits(PATIENCE, MEMORY))
        assert outcome.ok, outcome
        with socket.create_connection(server.getsockname()) as here:  # it is there for others
            here.send(b"from here")
        thread.join(PATIENCE)
    refused = {"ConnectionRefusedError", "PermissionError", "OSError"}
    names = ("server", "outside", "outside, unasked", "outside by IPv6")
    assert {outcome.facts[name] for name in names} <= refused, outcome.facts
    assert outcome.facts["in a child"] != 0
    assert outcome.facts["loopback"] == ("reached" if loopback else "PermissionError")
    assert outcome.facts["pair"] == "1"
    assert outcome.facts["user"] == [os.getuid(), os.getgid(), os.getuid()]
    assert reached == [b"from here"]


def test_where_the_system_has_no_way_jobs_have_the_network_and_that_is_said(worker_path: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    shutil.copytree(worker_path, code)
    worker = code / "ocr_conformance" / "worker.py"
    worker.write_text(_without(worker.read_text(), "_own_network", "_no_sockets"))
    said = subprocess.run(
        [sys.executable, "-m", "ocr_conformance.worker", "network"],
        env={**os.environ, "PYTHONPATH": str(code)}, cwd=code, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "host\n"
    assert isolation.network_of_jobs() in ("loopback", "none", "host")


# -- a whole run of pytest

VERDICTS = {
    "segv": "pack(float32) was killed by SIGSEGV (stage convert, *",
    "abort": "pack(float32) was killed by SIGABRT (stage convert, *",
    "kill": "pack(float32) was killed by SIGKILL (stage convert, *",
    "leave": "pack(float32) left without a result: the process left with status 0 and no result (stage convert, *",
    "loop_in_c": "pack(float32) ran out of time: still running after 8 s (stage convert, *",
    "touch_20_gigabytes": "pack(float32) ran out of memory: more than 600 MB of resident memory (stage convert, *",
    "terabyte": "pack(float32) ran out of memory: its files take more than 1200 MB of disk, *",
    "result_cut_off": "pack(float32) left without a result: * a result that is no JSON (stage convert, *",
    "result_of_another_job": "pack(float32) left without a result: * the result of another job (stage convert, *",
    "folder_is_a_link": "pack(float32) left without a result: the process left with status 0 and no result *",
    "folders_without_end": "pack(float32) left without a result: * folders in each other, more than 100 deep *",
    "kill_parent": "pack(float32) raised the worker process ended with status -9 (stage import, *",
    "say_garbage": "pack(float32) raised the worker process said what is no event: * (stage import, *",
}
RIGHT = ("daemon", "noise", "leavings")
"""Faults that cost the job nothing."""


@linux
def test_a_run_of_pytest_survives_every_fault_of_a_child(
    downstream: Path, tmp_path: Path, temporary: Path, outside: dict[str, str]
) -> None:
    flag, cache = tmp_path / "flag", tmp_path / "cache"
    hops, contract = downstream / "hops.py", downstream / "models" / "reader" / "contract.toml"
    params = {**outside, "mark": str(tmp_path)}
    hops.write_text(
        hops.read_text().replace(
            '    if fault == "wait":',
            "    from pathlib import Path\n    from ocr_conformance.job import import_file\n"
            f"    if Path({str(flag)!r}).exists():\n"
            f"        getattr(import_file({str(FAULTY)!r}), fault)(Job({params!r}, job.inputs, job.out))\n"
            '    if fault == "wait":',
        )
    )
    variants = (*VERDICTS, *RIGHT)
    contract.write_text(
        contract.read_text()
        + "".join(
            f'\n[variants.{name}]\nsummary = "does wrong"\ndefault = false\noptions = {{ fault = "{name}" }}\n'
            for name in variants
        )
    )

    def judge(*arguments: str, status: int) -> dict[str, Any]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "ocr_conformance.plugin", "-p", "no:cacheprovider", "-q"),
                *(f"--ocr-model=reader:{name}" for name in variants),
                *("--ocr-mode=float32", "--ocr-check=conversion", "--ocr-check=text", "--ocr-report=run.json"),
                *("--ocr-timeout=8", "--ocr-memory=600", f"--ocr-cache={cache}", *arguments),
            ],
            cwd=downstream,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=10 * PATIENCE,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == status, printed
        assert "INTERNALERROR" not in printed and "Traceback (most recent" not in done.stderr
        assert not processes(str(tmp_path))
        assert not any((cache / "tmp").iterdir())
        assert not any((cache / "runs").iterdir())
        shutil.rmtree(temporary / f"ocr-conformance-{os.getuid()}")  # its slots; `temporary` looks for all else
        cases = json.loads((downstream / "run.json").read_text())["cases"]
        return {key.partition("/")[0].partition(":")[2]: case["checks"] for key, case in cases.items()}

    flag.touch()
    cases = judge(status=1)
    for name, pattern in VERDICTS.items():
        result = cases[name]["conversion"]
        assert result["verdict"] == "failed"
        assert re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), result["message"]), result["message"]
        assert_sentence(result["message"])
        assert cases[name]["text"]["verdict"] in ("failed", "not-run")
    for name in RIGHT:
        assert cases[name]["conversion"]["verdict"] == cases[name]["text"]["verdict"] == "passed", cases[name]
    flag.unlink()
    again = judge("--ocr-max-age=0", status=0)
    assert {result["verdict"] for checks in again.values() for result in checks.values()} == {"passed"}
    assert Path(outside["secret"]).read_text() == "a secret"
