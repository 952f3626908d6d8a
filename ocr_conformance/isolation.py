"""Run jobs in child processes: a crash, a hang and a hunger for memory are outcomes, not accidents.

One warm parent (see `ocr_conformance.worker`) per toolchain, environment and preload list is kept for the run; it has
imported the framework and forks a child per job, so that a job does not pay the import.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ocr_conformance.evidence import Outcome, OutcomeKind
from ocr_conformance.job import STAGES
from ocr_conformance.worker import NO_SPACE

TAIL_LINES = 20
_MESSAGE_CHARACTERS = 4000
_LINE_CHARACTERS = 400
_TAIL_BYTES = 1 << 18
_PRELOAD_SECONDS = 600.0
"""An import that takes longer hangs."""
_SILENT_SECONDS = 120.0
"""A warm parent that has not ended a job so long after its time hangs."""
_RESULT_BYTES = 1 << 28
_EVENT_BYTES = 1 << 16
_DEPTH = 100
"""Folders in each other that a job may leave; a path has its length, and Python its stack."""


@dataclass(frozen=True)
class Limits:
    """What a job may use: wall seconds and bytes of resident memory; of the disk twice as much as of memory."""

    seconds: float
    memory: int

    @property
    def written(self) -> int:
        """Bytes of disk for all that a job writes into its folder, and for each single file."""
        return 2 * self.memory


@dataclass(frozen=True)
class Workplace:
    """Where jobs run: an interpreter, the code it may see, the variables that bind at import and what is preloaded."""

    python: str
    path: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    preload: tuple[str, ...] = ()


@dataclass
class JobRequest:
    """One job: which function, with what, into which (existing, empty) folder."""

    function: str
    params: dict[str, Any]
    inputs: dict[str, Path]
    out: Path
    fresh: bool = False
    """Run in a process that imported nothing before, instead of a fork of the warm parent."""
    variables: dict[str, str] = field(default_factory=dict)
    """Environment of a fresh process, beside the workplace's."""


class Interrupted(Exception):
    """The runner was closed while the job ran."""


class _Broken(Exception):
    """The warm parent cannot run the job.

    Attributes:
        kind, message: why.
        idle: it died after it was ready but before the job began.
        shared: other jobs were running in it, and it may be one of them that has ended it.
    """

    def __init__(self, kind: OutcomeKind, message: str, *, idle: bool, shared: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.idle = idle
        self.shared = shared


_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT", "USER", "LOGNAME")


def _environment(workplace: Workplace) -> dict[str, str]:
    """The child's environment: what a process needs, what makes it repeatable, and nothing of the user's Python."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        # First the toolchain's own programs: onnx2tf calls onnxsim by name.
        "PATH": os.pathsep.join((os.path.dirname(workplace.python), os.environ.get("PATH", os.defpath))),
        "PYTHONPATH": os.pathsep.join(workplace.path),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "1",  # INFO lines would bury a converter's last words
        "CUDA_VISIBLE_DEVICES": "-1",
        # one core a job: the engine fills the machine with jobs, not a job with threads
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    environment |= dict(workplace.variables)
    return environment


class _WarmParent:
    def __init__(self, workplace: Workplace) -> None:
        with contextlib.ExitStack() as stack:
            self._log = stack.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                [workplace.python, "-m", "ocr_conformance.worker", "serve", *workplace.preload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=_environment(workplace),
                cwd=workplace.path[0],
                start_new_session=True,  # Ctrl-C reaches the engine only
            )
            stack.pop_all()  # the log lives as long as the process
        self._write_lock = threading.Lock()
        self._state = threading.Condition()
        self._ready = False
        self._broken: tuple[OutcomeKind, str] | None = None
        self._born = time.monotonic()
        self._pids: dict[int, int] = {}
        self._folders: dict[int, str] = {}
        self._ended: dict[int, dict[str, Any]] = {}
        self._next = 0
        self._reader = threading.Thread(target=self._read, name="ocr-events", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_EVENT_BYTES):
            with self._state:
                try:
                    self._take_in(json.loads(line))
                except (ValueError, LookupError, TypeError, RecursionError):
                    self._broken = "exception", f"the worker process said what is no event: {line[:80]!r}"
                    break
                self._state.notify_all()
        if self._broken is not None:
            self._process.kill()
        status = self._process.wait()
        with self._state:
            if self._broken is None:
                self._broken = "exception", f"the worker process ended with status {status}"
            self._end_jobs()
            self._state.notify_all()

    def _take_in(self, event: dict[str, Any]) -> None:
        if "ready" in event:
            self._ready = True
        elif "broken" in event:
            self._broken = "exception", event["broken"]
        elif event["id"] not in self._folders:
            raise LookupError
        elif "pid" in event:
            self._pids[event["id"]] = int(event["pid"])
        else:
            needed = ("status", "killed", "seconds", "cpu_seconds", "peak_bytes")
            self._ended[event["id"]] = {name: event[name] for name in needed}

    def _end_jobs(self) -> None:
        """Kill what a worker process has left that was killed itself, and could not."""
        running = self._pids.keys() - self._ended.keys()
        for number in running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pids[number], signal.SIGKILL)
        folders = tuple(self._folders[number] for number in running)
        for process in psutil.process_iter() if folders else ():
            with contextlib.suppress(psutil.Error, OSError):
                places = (process.cwd(), process.environ().get("TMPDIR", ""))
                if any(place == folder or place.startswith(folder + os.sep) for folder in folders for place in places):
                    process.kill()

    def tail(self) -> tuple[str, ...]:
        with contextlib.suppress(OSError, ValueError):
            size = os.fstat(self._log.fileno()).st_size
            text = os.pread(self._log.fileno(), 16384, max(0, size - 16384)).decode(errors="replace")
            return tuple(text.splitlines()[-TAIL_LINES:])
        return ()

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._write_lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def run(self, request: JobRequest, limits: Limits, stop: threading.Event) -> dict[str, Any]:
        """The ending event of the job.

        Raises:
            _Broken: there is none, because the parent cannot import what it should, or died.
            Interrupted: ``stop`` was set.
        """
        with self._state:
            while not (self._ready or self._broken):
                self._state.wait(0.2)
                if stop.is_set():
                    raise Interrupted
                if time.monotonic() - self._born > _PRELOAD_SECONDS:
                    self._broken = "timeout", f"importing took more than {_PRELOAD_SECONDS:g} s"
            if self._broken:
                raise _Broken(*self._broken, idle=self._ready)
            number = self._next
            self._next += 1
            self._folders[number] = str(request.out)
        self._say(
            {
                "id": number,
                "function": request.function,
                "params": request.params,
                "inputs": {name: str(folder) for name, folder in request.inputs.items()},
                "out": str(request.out),
                "seconds": limits.seconds,
                "memory": limits.memory,
                "written": limits.written,
                "fresh": request.fresh,
                "environment": request.variables,
            }
        )
        until = time.monotonic() + limits.seconds + _SILENT_SECONDS
        with self._state:
            while number not in self._ended:
                if time.monotonic() > until:
                    self._give_up()
                if self._broken:
                    raise _Broken(*self._broken, idle=number not in self._pids, shared=self._shared(number))
                if stop.is_set():
                    self._say({"cancel": number})
                    raise Interrupted
                self._state.wait(0.2)
            del self._pids[number], self._folders[number]
            return self._ended.pop(number)

    def _shared(self, number: int) -> bool:
        """Whether other jobs run beside this one."""
        return bool(self._pids.keys() - self._ended.keys() - {number})

    def _give_up(self) -> None:
        if self._broken is None:
            self._broken = "timeout", f"the worker process did not answer for {_SILENT_SECONDS:g} s"

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        # Importing, it has no jobs, and would not look at its standard input for long; nor does it where it hangs.
        if not self._ready or (self._broken is not None and self._broken[0] == "timeout"):
            self._process.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._log.close()


@functools.cache
def network_of_jobs() -> str | None:
    """What jobs have of the network on this system, see `ocr_conformance.worker.leave_network`; ``None``: unknown."""
    asked = [sys.executable, "-m", "ocr_conformance.worker", "network"]
    place = Workplace(sys.executable, (str(Path(__file__).parent.parent),))
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            asked, env=_environment(place), cwd=place.path[0], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()
    return None


class Runner:
    """Runs jobs for one engine; keeps its warm parents. Thread-safe."""

    def __init__(self) -> None:
        self._parents: dict[Workplace, _WarmParent] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def _parent(self, workplace: Workplace) -> _WarmParent:
        with self._lock:
            if self._stop.is_set():
                raise Interrupted
            parent = self._parents.get(workplace)
            if parent is None:
                parent = self._parents[workplace] = _WarmParent(workplace)
            return parent

    def run(self, workplace: Workplace, request: JobRequest, limits: Limits) -> Outcome:
        """Run one job to its end, whatever the end is.

        Raises:
            Interrupted: `close` was called meanwhile.
        """
        retry, alone = True, False
        while True:
            try:
                own = _WarmParent(workplace) if alone else None
                parent = own or self._parent(workplace)
            except OSError as error:
                message = f"cannot start {workplace.python}: {error.strerror}"
                return Outcome("exception", "import", message, seen=time.time())
            try:
                ended = parent.run(request, limits, self._stop)
                break
            except _Broken as broken:
                tail = parent.tail()
                self._drop(workplace, parent)
                if self._stop.is_set():
                    raise Interrupted from None
                if broken.idle and retry:
                    retry = False
                elif broken.shared and not alone:  # again, where no other job can be at fault
                    alone = True
                    remove(request.out)
                    request.out.mkdir()
                else:
                    return Outcome(broken.kind, "import", _one_line(broken.message), tail, seen=time.time())
            finally:
                if own is not None:
                    own.close()
        if ended["killed"] == "stopped":
            raise Interrupted
        return read_outcome(request.out, ended, limits)

    def _drop(self, workplace: Workplace, parent: _WarmParent) -> None:
        """Bury a parent; the next job gets a new one."""
        with self._lock:
            if self._parents.get(workplace) is parent:
                del self._parents[workplace]
        parent.close()

    def close(self) -> None:
        """Stop all jobs and warm parents."""
        self._stop.set()
        with self._lock:
            parents = list(self._parents.values())
            self._parents.clear()
        for parent in parents:
            parent.close()


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MESSAGE_CHARACTERS]


def _last_words(text: str) -> tuple[str, ...]:
    """The last lines that say something; faulthandler's list of loaded extension modules does not."""
    lines = [line[:_LINE_CHARACTERS] for line in text.splitlines() if line.strip()]
    return tuple([line for line in lines if not line.startswith("Extension modules:")][-TAIL_LINES:])


def _take(folder: Path, name: str, most: int) -> str:
    """Read (the last ``most`` bytes of) and remove one of the worker's own files, so that only the job's files stay.

    The job may have put anything in its place: a link is not followed, a pipe not waited for.
    """
    text = ""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            known = os.fstat(descriptor)
            if stat.S_ISREG(known.st_mode):
                stream.seek(max(0, known.st_size - most))
                text = stream.read(most).decode(errors="replace")
    remove(folder / name)
    return text


def remove(path: Path) -> None:
    """Remove what a job has left, as far as that goes, whatever it is: closed, deeper than a path is long, a link.

    Others may be removing the same.
    """
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return
    stays: set[str] = set()
    with contextlib.suppress(OSError):
        path.chmod(0o700)
        while entries := [entry for entry in os.scandir(path) if entry.name not in stays]:
            for entry in entries:
                try:
                    _remove_entry(entry, path)
                except OSError:  # it cannot be removed, or somebody else is at it
                    stays.add(entry.name)
        path.rmdir()


def _remove_entry(entry: os.DirEntry[str], folder: Path) -> None:
    """Remove what is in the folder; of a folder what is in it comes a level up, so that no path becomes long."""
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry.path)
        return
    os.chmod(entry.path, 0o700)
    for inner in list(os.scandir(entry.path)):
        if inner.is_dir(follow_symlinks=False):
            os.chmod(inner.path, 0o700)  # one that cannot be written to cannot be moved
        os.rename(inner.path, folder / uuid.uuid4().hex)
    os.rmdir(entry.path)


def _tidy(folder: Path) -> str:
    """Make a job's folder one of files and folders that can be read; says what is wrong where that cannot be.

    Links, pipes, sockets and devices are removed: they are no evidence, and point to what is not the job's.
    """
    folders = [(folder, 0)]
    while folders:
        path, depth = folders.pop()
        if depth > _DEPTH:
            return f"folders in each other, more than {_DEPTH} deep"
        path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o700)
        for entry in list(os.scandir(path)):
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                folders.append((Path(entry.path), depth + 1))
            elif not stat.S_ISREG(mode):
                os.unlink(entry.path)
            elif mode & 0o600 != 0o600:
                os.chmod(entry.path, stat.S_IMODE(mode) | 0o600)
    return ""


def _result_of(text: str, out: Path) -> dict[str, Any] | str:
    """What a job has left as its result, or what is wrong with it."""
    if len(text) >= _RESULT_BYTES:
        return f"a result of more than {_RESULT_BYTES / 2**20:.0f} MB"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return "a result that is no JSON"
    match found:
        case {"ok": True, "facts": dict() | None} | {"ok": False, "type": str(), "message": str()}:
            result: dict[str, Any] = found
        case _:
            return "a result of the wrong shape"
    return result if result.get("job") == str(out) else "the result of another job"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


def read_outcome(out: Path, ended: dict[str, Any], limits: Limits) -> Outcome:
    """Turn a wait status and what the child left behind into an `Outcome`."""
    if out.is_symlink() or not out.is_dir():  # the job has removed it, or put something in its place
        remove(out)
        out.mkdir(parents=True)
    out.chmod(0o700)
    stage = _take(out, ".stage", 64)
    if stage not in STAGES:
        stage = "import"
    tail = _last_words(_take(out, ".stderr", _TAIL_BYTES))
    result = _take(out, ".result.json", _RESULT_BYTES)
    for name in (".job.json", ".result.part", ".tmp"):
        remove(out / name)
    status: int = ended["status"]
    cost = {
        "seconds": ended["seconds"],
        "cpu_seconds": ended["cpu_seconds"],
        "peak_bytes": ended["peak_bytes"],
        "seen": time.time(),
    }

    def outcome(kind: OutcomeKind, message: str) -> Outcome:
        return Outcome(kind, stage, message, tail, **cost)

    if ended["killed"] == "timeout":
        return outcome("timeout", f"still running after {limits.seconds:g} s")
    if ended["killed"] == "memory":
        return outcome("memory", f"more than {limits.memory / 2**20:.0f} MB of resident memory")
    too_large = f"its files take more than {limits.written / 2**20:.0f} MB of disk, twice the limit of its memory"
    if ended["killed"] == "written":
        return outcome("memory", too_large)
    if os.WIFSIGNALED(status):
        return outcome("signal", _signal_name(os.WTERMSIG(status)))
    code = os.waitstatus_to_exitcode(status)
    if not result and code == NO_SPACE:
        return outcome("exception", f"OSError: {os.strerror(errno.ENOSPC)}")
    if not result:
        return outcome("exit", f"the process left with status {code} and no result")
    found = _result_of(result, out)
    if isinstance(found, str):
        return outcome("exit", f"the process left with status {code} and {found}")
    if not found["ok"]:
        if found["type"] == "OSError" and found["message"].startswith(f"[Errno {errno.EFBIG}]"):
            return outcome("memory", too_large)
        kind: OutcomeKind = "memory" if found["type"] == "MemoryError" else "exception"
        return outcome(kind, _one_line(f"{found['type']}: {found['message']}"))
    try:
        untidy = _tidy(out)
    except OSError as error:
        untidy = f"a folder that cannot be read ({error.strerror})"
    if untidy:
        return outcome("exit", f"the process left with status {code} and {untidy}")
    return Outcome("ok", stage, "", (), found["facts"] or {}, out, **cost)
