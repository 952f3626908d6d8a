"""The graph of jobs and the machine's resources: one flight per cache key, machine-wide slots, latency alone.

Every process that judges (pytest itself, each xdist worker, the command line) has a `Scheduler`. They share nothing but
the cache and the slots, both guarded by file locks, so that any number of them is correct.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from ocr_conformance.cache import Cache, disk_errors
from ocr_conformance.errors import CacheError, UserError
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Interrupted, JobRequest, Limits, Runner, Workplace, remove

_POLL_SECONDS = 0.05
_BUSY_SECONDS = 0.3
_NOTES = "slot-*.json"
_OUTSIDE_KILLS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGBUS")
"""Signals that others may have sent (SIGBUS: a full disk under a memory map); such an end says nothing lasting."""

_PASSING = ("Changed", "FileNotFoundError")
"""Exceptions of a file beside a job's inputs that is not there, or another: see `ocr_conformance.job.Changed`."""


@dataclass(frozen=True, eq=False)
class Task:
    """One job of the graph, known by the key of everything that determines its result."""

    key: str
    title: str
    function: str
    params: dict[str, Any]
    workplace: Workplace
    inputs: dict[str, Task] = field(default_factory=dict)
    fresh: bool = False
    exclusive: bool = False
    """Alone on the machine: no other job of ours runs meanwhile."""
    variables: dict[str, str] = field(default_factory=dict)

    def closure(self) -> Iterator[Task]:
        """The tasks it builds on, then itself."""
        for task in self.inputs.values():
            yield from task.closure()
        yield self


def slot_count(limits: Limits) -> int:
    """How many jobs may run at once on this machine: by cores, and so that their memory limits fit together."""
    by_memory = int(psutil.virtual_memory().total // limits.memory)
    return max(
        1, min(len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else 2, by_memory)
    )


class Slots:
    """``count`` places for jobs, shared by every process of this user on the machine."""

    def __init__(self, count: int, folder: Path | None = None) -> None:
        try:
            self.folder = folder or Path(tempfile.gettempdir()) / f"ocr-conformance-{os.getuid()}"
        except OSError as error:  # it has tried several
            raise UserError(f"{error.strerror}: set TMPDIR to a folder that can be written to") from None
        with self._errors():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.count = count

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the disk of the places says into one sentence.

        Raises:
            UserError: in place of an `OSError`.
        """
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot use {self.folder}, where the machine's places for jobs are ({error.strerror or error}): "
                "set TMPDIR to a folder with some space that can be written to"
            ) from error

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / f"{name}.lock", thread_local=False)

    def _acquire(self, lock: FileLock, stop: threading.Event) -> None:
        while True:
            if stop.is_set():
                raise Interrupted
            with self._errors(), contextlib.suppress(Timeout):
                lock.acquire(timeout=0.5, poll_interval=_POLL_SECONDS)
                return

    @contextlib.contextmanager
    def hold(self, title: str, stop: threading.Event, *, everything: bool = False) -> Iterator[None]:
        """Hold one slot, or all of them and the gate before them.

        Raises:
            Interrupted: ``stop`` was set while waiting.
        """
        with contextlib.ExitStack() as stack:
            gate = self._lock("gate")
            self._acquire(gate, stop)
            stack.callback(gate.release)
            self._tidy()
            if everything:
                # also those of runs that have more of them; behind the gate nobody takes another
                known = (path.stem.partition("-")[2] for path in self.folder.glob("slot-*.lock"))
                used = {int(number) for number in known if number.isdecimal()}
                for number in sorted({*range(self.count), *used}):
                    lock = self._lock(f"slot-{number}")
                    self._acquire(lock, stop)
                    stack.callback(lock.release)
                number = 0
            else:
                number = self._any(stack, stop)
            note = self.folder / f"slot-{number}.json"
            stack.callback(note.unlink, missing_ok=True)
            with self._errors():
                note.write_text(json.dumps({"title": title, "started": time.time(), "pid": os.getpid()}))
            if not everything:
                gate.release()
            yield

    def _tidy(self) -> None:
        """Remove what killed runs have noted. Behind the gate: nobody notes anything meanwhile."""
        alive = {path for path, _ in self._notes()}
        with self._errors():
            for path in self.folder.glob(_NOTES):
                if path not in alive:
                    path.unlink(missing_ok=True)

    def _notes(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The notes of processes that live, each with what it says."""
        for path in sorted(self.folder.glob(_NOTES)):
            with contextlib.suppress(OSError, ValueError, KeyError):
                known = json.loads(path.read_text())
                if psutil.pid_exists(known["pid"]):  # else it was killed and could not tidy up
                    yield path, known

    def _any(self, stack: contextlib.ExitStack, stop: threading.Event) -> int:
        while not stop.is_set():
            for number in range(self.count):
                lock = self._lock(f"slot-{number}")
                with self._errors(), contextlib.suppress(Timeout):
                    lock.acquire(timeout=0)
                    stack.callback(lock.release)
                    return number
            time.sleep(_POLL_SECONDS)
        raise Interrupted

    def running(self) -> list[tuple[str, float, int]]:
        """What runs now: title, seconds so far, process id of the engine that runs it."""
        now = time.time()
        return [(known["title"], now - known["started"], known["pid"]) for _, known in self._notes()]


class _State:
    def __init__(self, task: Task) -> None:
        self.task = task
        self.done = False
        self.running = False
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.not_before = 0.0


class Scheduler:
    """Runs tasks in background threads, those somebody waits for first."""

    def __init__(self, cache: Cache, slots: Slots, limits: Limits, *, max_age: float | None = None) -> None:
        self._cache = cache
        self._slots = slots
        self._limits = limits
        self._max_age = max_age
        self._began = time.monotonic()
        self._runner = Runner()
        self._states: dict[str, _State] = {}
        self._wanted: list[str] = []
        self._verified: dict[str, dict[str, tuple[int, int, int]]] = {}
        """`Cache.stamps` of entries that this run has read against their hashes."""
        self._suspects: set[str] = set()
        """Tasks whose inputs changed while they ran."""
        self._change = threading.Condition()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.executed = 0
        """How many jobs this scheduler really ran."""

    def add(self, tasks: Iterable[Task]) -> None:
        """Work on these in the background, in this order."""
        with self._change:
            for task in tasks:
                for each in task.closure():
                    self._states.setdefault(each.key, _State(each))
            while len(self._threads) < self._slots.count:
                thread = threading.Thread(target=self._work, name=f"ocr-job-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._change.notify_all()

    def outcome(self, task: Task) -> Outcome | None:
        """Wait for a task's end; ``None`` when a task that it builds on did not end well.

        Raises:
            UserError: the cache could not take the result, or there is no place for jobs.
            Interrupted: the scheduler was closed meanwhile.
        """
        self.add([task])
        with self._change:
            state = self._states[task.key]
            if not state.done:
                self._wanted = [each.key for each in task.closure()]
                self._change.notify_all()
            while not state.done:
                self._change.wait(0.5)  # a time-out, so that Ctrl-C gets through
                if self._stop.is_set():
                    raise Interrupted
            if state.error is not None:
                raise state.error
            return state.outcome

    def culprit(self, task: Task) -> tuple[Task, Outcome] | None:
        """Of a task that could not run: the first of those that it builds on that did not end well."""
        for each in task.closure():
            outcome = self.outcome(each)
            if outcome is not None and not outcome.ok:
                return each, outcome
        return None

    def _next(self) -> _State | None:
        """A task that can run now: wanted ones first, exclusive ones last. Call with the lock held."""
        now = time.monotonic()
        waiting = []
        shared_left = False
        wanted = [self._states[key] for key in self._wanted if key in self._states]
        for state in [*wanted, *self._states.values()]:
            if state.done or state.running:
                shared_left |= state.running and not state.task.exclusive
                continue
            before = [self._states[task.key] for task in state.task.inputs.values()]
            broken = [each for each in before if each.done and (each.outcome is None or not each.outcome.ok)]
            if broken:
                state.done = True
                state.error = broken[0].error
                self._change.notify_all()
                continue
            shared_left |= not state.task.exclusive
            if all(each.done for each in before) and now >= state.not_before:
                waiting.append(state)
        for state in waiting:
            if not state.task.exclusive:
                return state
        if not shared_left or any(state.task.key == self._wanted[-1] for state in waiting if self._wanted):
            return next((state for state in waiting if state.task.exclusive), None)
        return None

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._change:
                state = self._next()
                if state is None:
                    self._change.wait(_BUSY_SECONDS)
                    continue
                state.running = True
            finished = False
            try:
                state.outcome = self._finish(state.task)
                finished = state.outcome is not None
            except Interrupted:
                return
            except Exception as error:  # whoever waits for this task must learn of it
                state.error = error
                finished = True
            finally:
                with self._change:
                    state.running = False
                    state.done = finished
                    if not finished:
                        state.not_before = time.monotonic() + _BUSY_SECONDS
                    self._change.notify_all()

    def _finish(self, task: Task) -> Outcome | None:
        """The outcome, cached or from a run; ``None``: another process is at it, or an input must be made anew."""
        found = self._cache.lookup(task.key, self._limits, self._age())
        if found is not None:
            return found
        with self._cache.flight(task.key) as mine:
            if not mine:
                return None
            found = self._cache.lookup(task.key, self._limits, self._age())
            return found if found is not None else self._run(task)

    def _make_anew(self, state: _State) -> None:
        with self._change:
            if self._states[state.task.key] is state:
                self._states[state.task.key] = _State(state.task)

    def _changed(self, key: str, before: dict[str, tuple[int, int, int]]) -> bool:
        """Whether an entry has other files than it had; the same bytes anew (of another run, say) are no change."""
        now = self._cache.stamps(key)
        return now != before and (now.keys() != before.keys() or not self._cache.verify(key))

    def _age(self) -> float | None:
        """What this run itself has made is fresh, however small ``max_age`` is."""
        return None if self._max_age is None else self._max_age + time.monotonic() - self._began

    def _run(self, task: Task) -> Outcome | None:
        folders = {}
        used = {}
        for name, before in task.inputs.items():
            state = self._states[before.key]
            outcome = state.outcome
            if outcome is None or outcome.folder is None:
                return None  # it is being made anew
            stamps = self._cache.stamps(before.key)
            if self._verified.get(before.key) != stamps and not self._cache.verify(before.key):
                self._make_anew(state)
                return None
            self._verified[before.key] = stamps
            folders[name] = outcome.folder
            used[before.key] = state, stamps
        workspace = self._cache.workspace()
        try:
            request = JobRequest(task.function, task.params, folders, workspace, task.fresh, task.variables)
            with self._slots.hold(task.title, self._stop, everything=task.exclusive):
                outcome = self._runner.run(task.workplace, request, self._limits)
            with self._change:
                self.executed += 1
            if not self._cache.exists():
                with disk_errors(self._cache.root):
                    raise FileNotFoundError(errno.ENOENT, f"it was removed during {task.title}")
            changed = [state for key, (state, stamps) in used.items() if self._changed(key, stamps)]
            if changed:  # its result is worth nothing, and nor are they
                for state in changed:
                    self._cache.discard(state.task.key)
                    self._make_anew(state)
                if task.key not in self._suspects:  # another job or another run may have done it
                    self._suspects.add(task.key)
                    return None
                titles = ", ".join(state.task.title for state in changed)
                message = f"the files of {titles}, on which it builds, changed while it ran: they are to be read only"
                return Outcome("exception", outcome.stage, message, outcome.tail, seen=outcome.seen)
            if not outcome.ok and _disk_full(outcome):
                raise CacheError(
                    f"no space left for the cache in {self._cache.root} during {task.title}: free some "
                    "(`ocr-conformance cache prune`) or name another place with --ocr-cache DIR"
                )
            if not _lasting(outcome):
                return outcome
            if not outcome.ok:
                remove(workspace)
                workspace.mkdir()
            stored = self._cache.store(task.key, task.title, outcome, workspace, self._limits)
            self._verified[task.key] = self._cache.stamps(task.key)
            return stored
        finally:
            remove(workspace)

    def close(self) -> None:
        """Stop: running jobs are killed, nothing of theirs is kept."""
        self._stop.set()
        with contextlib.suppress(RuntimeError):
            while True:  # Ctrl-C just after this thread took the lock, and before the block that gives it back
                self._change.release()
        with self._change:
            self._change.notify_all()
        self._runner.close()
        for thread in self._threads:
            thread.join(10)


def _disk_full(outcome: Outcome) -> bool:
    return any("No space left on device" in line for line in (outcome.message, *outcome.tail))


def _lasting(outcome: Outcome) -> bool:
    """Whether the same job would end in the same way again, so that its end may be stored."""
    if outcome.kind == "signal":
        return outcome.message not in _OUTSIDE_KILLS
    if outcome.kind == "exception" and outcome.message.partition(":")[0] in _PASSING:
        return outcome.stage == "convert"  # what a converter misses is of its own making
    return outcome.ok or outcome.stage != "import"
