"""The graph: shared hops once, failures stop what builds on them, latency alone on the machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance.cache import Cache, digest
from ocr_conformance.errors import CacheError
from ocr_conformance.isolation import Interrupted, Limits, Runner, Workplace
from ocr_conformance.schedule import Scheduler, Slots, Task, slot_count
from tests.repository import needs_root, small_disk

from .conftest import CHECKOUT, PATIENCE, wait_for
from .test_cache import flip

LIMITS = Limits(PATIENCE, 1 << 30)


class Bench:
    """Makes tasks that write to one log, and schedulers on one cache."""

    def __init__(self, folder: Path, jobs: str, workplace: Workplace) -> None:
        self.folder = folder
        self.jobs = jobs
        self.workplace = workplace
        self.cache = folder / "cache"
        self.slots = folder / "slots"
        self.log = folder / "log"

    def task(self, name: str, *inputs: Task, job: str = "counts", exclusive: bool = False, **params: Any) -> Task:
        """A task known by its name."""
        given = {"log": str(self.log), "name": name, **params}
        before = {f"input-{number}": task for number, task in enumerate(inputs)}
        key = digest([name, job])
        return Task(key, name, f"{self.jobs}:{job}", given, self.workplace, before, exclusive=exclusive)

    def ran(self) -> list[str]:
        """Names of the jobs that ran, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @contextlib.contextmanager
    def scheduler(self, slots: int = 2, limits: Limits = LIMITS, **more: Any) -> Iterator[Scheduler]:
        """A scheduler that is closed at the end."""
        made = Scheduler(Cache(self.cache), Slots(slots, self.slots), limits, **more)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def bench(tmp_path: Path, jobs: str, workplace: Workplace) -> Bench:
    """A place to schedule."""
    return Bench(tmp_path, jobs, workplace)


def test_a_shared_hop_is_run_once(bench: Bench) -> None:
    export = bench.task("export")
    modes = [bench.task(f"mode{number}", export) for number in range(4)]
    with bench.scheduler() as scheduler:
        scheduler.add(modes)
        assert [scheduler.outcome(mode).facts["text"] for mode in modes] == [f"mode{n}export" for n in range(4)]
        assert scheduler.executed == 5
    assert sorted(bench.ran()) == ["export", "mode0", "mode1", "mode2", "mode3"]
    with bench.scheduler() as again:
        assert again.outcome(modes[0]).cached
        assert again.executed == 0


def test_what_builds_on_a_failure_is_not_run_and_the_culprit_is_named(bench: Bench) -> None:
    broken = bench.task("broken", job="fails")
    middle = bench.task("middle", broken)
    last = bench.task("last", bench.task("fine"), middle)
    with bench.scheduler() as scheduler:
        assert scheduler.outcome(last) is None
        culprit = scheduler.culprit(last)
        assert culprit is not None
        assert culprit[0] is broken
        assert (culprit[1].kind, culprit[1].stage, culprit[1].message) == ("exception", "convert", "ValueError: no")
        assert scheduler.culprit(bench.task("fine")) is None
    assert sorted(bench.ran()) == ["broken", "fine"]
    with bench.scheduler() as again:
        assert again.outcome(broken).cached, "a failure is evidence, too"


def test_what_somebody_waits_for_comes_first(bench: Bench) -> None:
    queue = [bench.task(f"queued{number}", seconds=0.1) for number in range(6)]
    wanted = bench.task("wanted", bench.task("before"))
    with bench.scheduler(slots=1) as scheduler:
        scheduler.add([*queue, wanted])
        scheduler.outcome(wanted)
    order = bench.ran()
    assert order.index("before") <= 2 and order.index("wanted") <= 3, order


def test_a_job_killed_from_outside_says_nothing_lasting(bench: Bench) -> None:
    task = bench.task("victim", job="is_killed_from_outside")
    for times in (1, 2):
        with bench.scheduler() as scheduler:
            outcome = scheduler.outcome(task)
            assert (outcome.kind, outcome.message) == ("signal", "SIGKILL")
        assert len(bench.ran()) == times


def test_a_missing_interpreter_ends_the_wait(bench: Bench) -> None:
    bench.workplace = Workplace("/no/such/python", bench.workplace.path)
    with bench.scheduler() as scheduler:
        assert scheduler.outcome(bench.task("lost")).message.startswith("cannot start /no/such/python")


def test_a_mistake_of_ours_reaches_whoever_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Runner, "run", fail)
    first = bench.task("first")
    with bench.scheduler() as scheduler:
        for task in (first, bench.task("second", first), bench.task("third")):
            with pytest.raises(ZeroDivisionError):
                scheduler.outcome(task)


@pytest.mark.parametrize("size", [0, 3 << 20])
def test_an_input_that_was_altered_is_made_anew(bench: Bench, size: int) -> None:
    export = bench.task("export", bytes=size)
    with bench.scheduler() as scheduler:
        folder = scheduler.outcome(export).folder
    assert folder is not None
    flip(folder / ("large.bin" if size else "text"))
    users = [bench.task(f"mode{number}", export) for number in range(4)]
    with bench.scheduler(slots=4) as scheduler:
        scheduler.add(users)
        assert [scheduler.outcome(user).facts["text"] for user in users] == [f"mode{n}export" for n in range(4)]
    assert bench.ran().count("export") == 2
    assert Cache(bench.cache).verify(export.key)


def test_fresh_evidence_is_made_once_a_run(bench: Bench) -> None:
    export = bench.task("export")
    tasks = [bench.task("mode0", export), bench.task("mode1", export)]
    for times in (1, 2):
        time.sleep(0.01)
        with bench.scheduler(max_age=0.0) as scheduler:
            for task in tasks:
                assert not scheduler.outcome(task).cached
        assert bench.ran().count("export") == times


def test_a_larger_limit_asks_again(bench: Bench) -> None:
    slow = bench.task("slow", job="waits", seconds=2.5)
    with bench.scheduler(limits=Limits(0.5, 1 << 30)) as scheduler:
        assert scheduler.outcome(slow).kind == "timeout"
    with bench.scheduler(limits=Limits(0.4, 1 << 30)) as scheduler:
        outcome = scheduler.outcome(slow)
        assert (outcome.kind, outcome.cached) == ("timeout", True)
    with bench.scheduler() as scheduler:
        assert scheduler.outcome(slow).kind == "ok"


def test_closing_interrupts_whoever_waits(bench: Bench) -> None:
    caught: list[type] = []

    def wait(scheduler: Scheduler) -> None:
        try:
            scheduler.outcome(bench.task("long", job="waits"))
        except BaseException as error:
            caught.append(type(error))

    with bench.scheduler() as scheduler:
        thread = threading.Thread(target=wait, args=(scheduler,))
        thread.start()
        wait_for(scheduler._slots.running)
    thread.join(PATIENCE)
    assert caught == [Interrupted]
    assert not any((bench.cache / "tmp").iterdir()), "nothing half done is left"
    with bench.scheduler() as after:
        assert after.outcome(bench.task("next")).ok, "nor a slot"


def test_an_interrupt_that_leaves_the_lock_held_holds_up_no_thread(bench: Bench) -> None:
    """As Ctrl-C may, between the taking of a lock and the block that gives it back."""
    with bench.scheduler() as scheduler:
        scheduler.add([bench.task("long", job="waits")])
        wait_for(scheduler._slots.running)
        scheduler._change.acquire()
    assert not any(thread.is_alive() for thread in scheduler._threads)


@needs_root
def test_a_disk_that_fills_up_during_a_job_is_one_sentence(bench: Bench, tmp_path: Path) -> None:
    large = bench.task("large", job="fills_the_disk", bytes=300_000)
    with small_disk(tmp_path / "disk", "size=256k") as disk:
        bench.cache = disk
        with bench.scheduler() as scheduler:
            for task in (large, bench.task("after", large)):
                with pytest.raises(CacheError, match=r"no space left for the cache in .*/disk during large: free some"):
                    scheduler.outcome(task)
        assert not any((disk / "tmp").iterdir())
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        with bench.scheduler() as scheduler:
            assert scheduler.outcome(large).ok


# --- several processes ------------------------------------------------------------------------------------------------

DRIVE = """
import json, sys
from pathlib import Path
from ocr_conformance.cache import Cache, digest
from ocr_conformance.isolation import Limits, Workplace
from ocr_conformance.schedule import Scheduler, Slots, Task
folder, slots, memory, tasks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
scheduler = Scheduler(Cache(folder / "cache"), Slots(slots, folder / "slots"), Limits(60, memory))
made = [
    Task(each["key"], each["title"], each["function"], each["params"], Workplace(each["python"], (each["path"],)),
         exclusive=each["exclusive"])
    for each in tasks
]
scheduler.add(made)
for task in made:
    assert scheduler.outcome(task).ok, scheduler.outcome(task)
print(scheduler.executed)
scheduler.close()
"""


def drive(bench: Bench, tasks: list[Task], slots: int = 2) -> subprocess.Popen[str]:
    """Another process that runs these tasks on the same cache and slots."""
    import json

    described = [
        {
            "key": task.key, "title": task.title, "function": task.function, "params": task.params,
            "python": task.workplace.python, "path": task.workplace.path[0], "exclusive": task.exclusive,
        }
        for task in tasks
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", DRIVE, str(bench.folder), str(slots), str(1 << 30), json.dumps(described)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(processes: list[subprocess.Popen[str]]) -> list[int]:
    """How many jobs each of them ran."""
    counts = []
    for process in processes:
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        counts.append(int(out))
    return counts


def test_two_processes_compute_a_key_once(bench: Bench) -> None:
    tasks = [bench.task(f"job{number}", seconds=0.3) for number in range(3)]
    counts = finish([drive(bench, tasks) for _ in range(2)])
    assert sum(counts) == 3
    assert sorted(bench.ran()) == ["job0", "job1", "job2"]


def test_what_is_exclusive_runs_alone_on_the_machine(bench: Bench) -> None:
    """Two processes, of which one counts more slots than the other (it has a smaller memory limit)."""
    first = [bench.task(f"a{number}", job="stamps", seconds=0.25) for number in range(4)]
    first.append(bench.task("a-alone", job="stamps", seconds=0.4, exclusive=True))
    second = [bench.task("b-alone", job="stamps", seconds=0.4, exclusive=True)]
    second += [bench.task(f"b{number}", job="stamps", seconds=0.25) for number in range(3)]
    finish([drive(bench, first, slots=4), drive(bench, second, slots=1)])
    spans = {}
    for path in bench.folder.glob("log.*"):
        begin, end = map(float, path.read_text().split())
        spans[path.name.partition(".")[2]] = (begin, end)
    assert len(spans) == 9
    for (one, (begin, end)), (other, (begin2, end2)) in itertools.permutations(spans.items(), 2):
        if one.endswith("alone"):
            assert end <= begin2 or end2 <= begin, f"{one} and {other} ran at once"


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_killed_process_gives_its_slots_back(bench: Bench, exclusive: bool) -> None:
    process = drive(bench, [bench.task("long", job="waits", exclusive=exclusive)], slots=1)
    slots = Slots(1, bench.slots)
    wait_for(slots.running)
    assert [title for title, _, _ in slots.running()] == ["long"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert slots.running() == [], "what died does not run"
    with bench.scheduler(slots=1) as scheduler:
        assert scheduler.outcome(bench.task("next")).ok
        assert scheduler.outcome(bench.task("alone", exclusive=True)).ok


def test_the_note_of_a_killed_process_goes_with_the_next_job(bench: Bench) -> None:
    process = drive(bench, [bench.task(f"long{number}", job="waits") for number in range(2)], slots=2)
    slots = Slots(1, bench.slots)
    wait_for(lambda: len(slots.running()) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (bench.slots / "slot-5.json").write_text("{")  # of a full disk, say
    assert len(list(bench.slots.glob("slot-*.json"))) == 3
    with slots.hold("mine", threading.Event()):
        assert [path.name for path in bench.slots.glob("slot-*.json")] == ["slot-0.json"]
    assert not list(bench.slots.glob("slot-*.json"))


def test_waiting_for_a_slot_can_be_interrupted(tmp_path: Path) -> None:
    stop = threading.Event()
    slots = Slots(1, tmp_path)
    with slots.hold("first", threading.Event()):
        for everything in (False, True):
            stop.clear()
            threading.Timer(0.2, stop.set).start()
            with pytest.raises(Interrupted), slots.hold("second", stop, everything=everything):
                pytest.fail("there is one slot only")
    with slots.hold("third", threading.Event(), everything=True):
        assert [title for title, _, _ in slots.running()] == ["third"]
    assert slots.running() == []


def test_slots_are_as_many_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    total = psutil.virtual_memory().total
    assert slot_count(Limits(1, total * 2)) == 1
    assert 1 <= slot_count(Limits(1, 1)) <= (os.cpu_count() or 1)
