"""The child side of isolation: a warm parent that forks a process per job. Standard library only.

``python -m ocr_conformance.worker serve PRELOAD...`` imports the named modules (or calls ``/path/file.py:function``),
executes nothing else, and then forks one child per request line on its standard input. ``once JOB.json`` runs one job
in a process that imported nothing before. The protocol is JSON lines: requests in, events out (see `_serve`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from ocr_conformance.job import Job, import_file

_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
NO_RESULT, NO_SPACE = 70, 74
"""Exit statuses (as in sysexits.h) of a child that could not leave a result, and of one whose disk was full."""


def _module(reference: str) -> ModuleType:
    """A dotted module, or a file."""
    return import_file(reference) if reference.endswith(".py") else importlib.import_module(reference)


def resolve(reference: str) -> Any:
    """``package.module:function`` or ``/path/file.py:function``."""
    module, _, name = reference.rpartition(":")
    return getattr(_module(module), name)


def _signal_at_parents_death(number: int) -> None:
    """Ask the kernel (Linux) for a signal when the thread that started this process ends."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def run_job(description: dict[str, Any]) -> None:
    """Run one job and leave ``.result.json`` in its folder; what it raises is its result, too."""
    out = Path(description["out"])
    inputs = {name: Path(folder) for name, folder in description["inputs"].items()}
    job = Job(description["params"], inputs, out)
    job.stage("import")
    os.chdir(out)  # what a converter leaves in its working folder is its own
    scratch = out / ".tmp"  # and so are its temporary files: a process that is left by os._exit tidies nothing
    scratch.mkdir(exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
    try:
        facts = resolve(description["function"])(job)
        result: dict[str, Any] = {"ok": True, "facts": facts}
        text = json.dumps(result)
    except BaseException as error:
        frames = traceback.format_exception(type(error), error, error.__traceback__)
        sys.stderr.write("".join(frames))
        text = json.dumps({"ok": False, "type": type(error).__name__, "message": str(error)})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result_file = out / ".result.json"
    partial = out / ".result.part"
    partial.write_text(text)
    partial.rename(result_file)


def _run_and_leave(description: dict[str, Any]) -> None:
    """Run one job as all that this process does. Never returns."""
    status = NO_RESULT
    try:
        faulthandler.enable(all_threads=False)
        run_job(description)
        sys.stdout.flush()
        sys.stderr.flush()
        status = 0
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            status = NO_SPACE
        traceback.print_exc()
        sys.stderr.flush()
    finally:  # on a full disk the traceback may raise, too
        os._exit(status)


def _child(request: dict[str, Any], parent: int, close: list[int]) -> None:
    """In the forked child: own session, own output file, then the job. Never returns."""
    try:
        os.setsid()
        _signal_at_parents_death(signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(NO_RESULT)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # crashes are expected; their cores would fill the disk
        for descriptor in close:
            os.close(descriptor)
        log = os.open(Path(request["out"]) / ".stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if request["fresh"]:
            description = Path(request["out"]) / ".job.json"
            description.write_text(json.dumps(request))
            arguments = [sys.executable, "-m", "ocr_conformance.worker", "once", str(description)]
            os.execve(sys.executable, arguments, {**os.environ, **request["environment"]})
        _run_and_leave(request)
    except OSError as error:
        os._exit(NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else NO_RESULT)
    finally:
        os._exit(NO_RESULT)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (0 where it is gone or the system has no /proc)."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


class _Running:
    def __init__(self, request: dict[str, Any], pid: int) -> None:
        self.request = request
        self.pid = pid
        self.started = time.monotonic()
        self.killed: str | None = None
        self.peak = 0

    def kill(self, why: str) -> None:
        if self.killed is None:
            self.killed = why
        self.sweep()
        with contextlib.suppress(ProcessLookupError):  # it may not have its session yet
            os.kill(self.pid, signal.SIGKILL)

    def sweep(self) -> None:
        """Kill what the job itself has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def watch(self) -> None:
        resident = resident_bytes(self.pid)
        self.peak = max(self.peak, resident)
        if resident > self.request["memory"]:
            self.kill("memory")
        elif time.monotonic() - self.started > self.request["seconds"]:
            self.kill("timeout")


class _Parent:
    """The loop of a warm parent."""

    def __init__(self, requests: int, events: int) -> None:
        self.requests = requests
        self.events = events
        self.buffer = b""
        self.running: dict[int, _Running] = {}

    def say(self, **event: Any) -> None:
        os.write(self.events, json.dumps(event).encode() + b"\n")

    def start(self, request: dict[str, Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _child(request, parent, [self.requests, self.events])
        self.running[pid] = _Running(request, pid)
        self.say(id=request["id"], pid=pid)

    def reap(self) -> None:
        for pid, running in list(self.running.items()):
            running.watch()
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done == 0:
                continue
            running.sweep()
            del self.running[pid]
            scale = 1 if sys.platform == "darwin" else 1024
            self.say(
                id=running.request["id"],
                status=status,
                killed=running.killed,
                seconds=time.monotonic() - running.started,
                cpu_seconds=usage.ru_utime + usage.ru_stime,
                peak_bytes=max(usage.ru_maxrss * scale, running.peak),
            )

    def stop(self) -> None:
        for running in self.running.values():
            running.kill("stopped")
        os._exit(0)

    def loop(self) -> None:
        while True:
            readable, _, _ = select.select([self.requests], [], [], _POLL_SECONDS if self.running else None)
            if readable:
                chunk = os.read(self.requests, 1 << 16)
                if not chunk:  # the engine is gone: so are its jobs
                    self.stop()
                self.buffer += chunk
                *lines, self.buffer = self.buffer.split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    if "cancel" in request:
                        for running in self.running.values():
                            if running.request["id"] == request["cancel"]:
                                running.kill("stopped")
                    else:
                        self.start(request)
            self.reap()


def _serve(preload: list[str]) -> None:
    """Import, say ``{"ready": true}`` (or ``{"broken": "..."}``), then serve until standard input ends.

    Requests: ``{"id", "function", "params", "inputs", "out", "seconds", "memory", "fresh", "environment"}`` or
    ``{"cancel": id}``. Events: ``{"id", "pid"}`` when a child (the leader of its session) begins, and ``{"id",
    "status", "killed", "seconds", "cpu_seconds", "peak_bytes"}`` with its wait status when it has ended.
    """
    engine = os.getppid()
    requests, events = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what a framework prints must not be taken for an event
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the engine, which stops its jobs itself
    parent = _Parent(requests, events)

    def leave(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and os.getppid() == engine:
            return  # only the thread that started this process has ended
        parent.stop()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
    _signal_at_parents_death(signal.SIGHUP)  # sooner than the end of file, which is not read while importing
    try:
        for reference in preload:
            if ":" in reference:
                resolve(reference)()
            else:
                _module(reference)
    except BaseException as error:
        traceback.print_exc()
        parent.say(broken=f"{type(error).__name__}: {error}")
        os._exit(1)
    parent.say(ready=True)
    parent.loop()


def main(arguments: list[str]) -> None:
    """Entry point of ``python -m ocr_conformance.worker``."""
    command, *rest = arguments
    if command == "serve":
        _serve(rest)
    else:
        _run_and_leave(json.loads(Path(rest[0]).read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
