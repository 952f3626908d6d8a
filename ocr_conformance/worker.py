"""The child side of isolation: a warm parent that forks a process per job. Standard library only.

``python -m ocr_conformance.worker serve PRELOAD...`` imports the named modules (or calls ``/path/file.py:function``),
executes nothing else, and then forks one child per request line on its standard input. ``once JOB.json`` runs one job
in a process that imported nothing before; ``network`` says what jobs have of it. The protocol is JSON lines: requests
in, events out (see `_serve`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import fcntl
import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from ocr_conformance.job import Job, import_file

_POLL_SECONDS = 0.02
_LOOK_SECONDS = 0.2
_WRITTEN_SECONDS = 0.5
_BURY_SECONDS = 2.0
_PRELOAD_FILE = 1 << 30
"""Bytes of a file (its log is one) that importing may write."""
NO_RESULT, NO_SPACE = 70, 74
"""Exit statuses (as in sysexits.h) of a child that could not leave a result, and of one whose disk was full."""


def _module(reference: str) -> ModuleType:
    """A dotted module, or a file."""
    return import_file(reference) if reference.endswith(".py") else importlib.import_module(reference)


def resolve(reference: str) -> Any:
    """``package.module:function`` or ``/path/file.py:function``."""
    module, _, name = reference.rpartition(":")
    return getattr(_module(module), name)


# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def _kernel(name: str, *arguments: Any) -> None:
    """Call a function of the C library that returns -1 when it fails."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*[ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _ask_kernel(option: int, value: int) -> None:
    """``prctl``, where there is one (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            _kernel("prctl", option, value, 0, 0, 0)


def _signal_at_parents_death(number: int) -> None:
    """Ask the kernel for a signal when the thread that started this process ends."""
    _ask_kernel(_PR_SET_PDEATHSIG, number)


_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h


def _own_network() -> None:
    """Move this process into a network of its own, in which there is nothing but the loopback.

    Without the right to make one it gets it in a user namespace, in which user and group stay what they are.

    Raises:
        OSError: the system, or a container, does not let it.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        _kernel("unshare", _CLONE_NEWNET)
    except PermissionError:
        _kernel("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        name, flags = struct.unpack("16sh", fcntl.ioctl(asking, _SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))
        fcntl.ioctl(asking, _SIOCSIFFLAGS, struct.pack("16sh", name, flags | _IFF_UP))


# linux/audit.h, and the number of socket(2) there
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES  # linux/seccomp.h
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h: LD | W | ABS, JMP | JEQ | K, RET | K


def _no_sockets() -> None:
    """Refuse this process, and all that it starts, every socket that is not of this machine alone.

    Raises:
        OSError, KeyError: the system does not let it, or has another kind of processor.
    """
    machine, number = _MACHINES[os.uname().machine]
    # Offsets of struct seccomp_data: the call's number, its architecture, its first argument. Jumps go to its end.
    program = [
        (_LOAD, 0, 0, 4), (_EQUAL, 0, 5, machine),
        (_LOAD, 0, 0, 0), (_EQUAL, 0, 3, number),
        (_LOAD, 0, 0, 16), (_EQUAL, 1, 0, socket.AF_UNIX), (_EQUAL, 0, 1, 16),  # 16: netlink, which asks the kernel
        (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE),
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in program))
    filter_ = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    _kernel("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _kernel("prctl", _PR_SET_SECCOMP, 2, ctypes.byref(filter_), 0, 0)


def _works(function: Callable[[], None]) -> bool:
    """Whether a function works, tried in a process of its own: half of it could not be undone."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def leave_network() -> str:
    """Take the network from this process and all that it starts; call it before there are threads.

    Returns:
        What they have: ``loopback`` (one of their own), ``none``, or ``host`` where the system offers no way.
    """
    if sys.platform == "linux":
        for function, left in ((_own_network, "loopback"), (_no_sockets, "none")):
            if _works(function):
                function()
                return left
    return "host"


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
        result: dict[str, Any] = {"job": description["out"], "ok": True, "facts": facts}
        text = json.dumps(result)
    except BaseException as error:
        frames = traceback.format_exception(type(error), error, error.__traceback__)
        with contextlib.suppress(OSError):  # the log is as long as it may be
            sys.stderr.write("".join(frames))
        result = {"job": description["out"], "ok": False, "type": type(error).__name__, "message": str(error)}
        text = json.dumps(result)
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


def _limit(what: int, most: int) -> None:
    """Set a limit of this process, no higher than it may."""
    _, highest = resource.getrlimit(what)
    resource.setrlimit(what, (most if highest == resource.RLIM_INFINITY else min(most, highest), highest))


def _child(request: dict[str, Any], parent: int, close: list[int]) -> None:
    """In the forked child: own session, own output file, then the job. Never returns."""
    try:
        os.setsid()
        _signal_at_parents_death(signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(NO_RESULT)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _ask_kernel(_PR_SET_CHILD_SUBREAPER, 1)  # what it starts stays below it, whatever it does
        _limit(resource.RLIMIT_CORE, 0)  # crashes are expected; their cores would fill the disk
        _limit(resource.RLIMIT_FSIZE, request["written"])
        with contextlib.suppress(OSError):  # where memory is short, the kernel is to take the job
            Path("/proc/self/oom_score_adj").write_text("1000")
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


def proportional_bytes(pid: int) -> int:
    """Resident memory of a process, what it shares counted in part; 0 where that is not known."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _children_of(pid: int) -> list[int]:
    """What a process has started, and what it was given (Linux; elsewhere nothing is known)."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return found


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:  # it grows meanwhile
        found += [child for child in _children_of(each) if child not in found]
    return found


def written_bytes(folder: str) -> int:
    """What the files in a folder take of the disk; links are not followed."""
    total, folders = 0, [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # it has just been removed
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    return total


class _Running:
    def __init__(self, request: dict[str, Any], pid: int) -> None:
        self.request = request
        self.pid = pid
        self.started = time.monotonic()
        self.killed: str | None = None
        self.peak = 0
        self.look = self.look_at_files = self.started
        self.hungry = False

    def kill(self, why: str) -> None:
        if self.killed is None:
            self.killed = why
        self.sweep()
        with contextlib.suppress(ProcessLookupError):  # it may not have its session yet
            os.kill(self.pid, signal.SIGKILL)

    def sweep(self) -> None:
        """Kill what the job itself has started and what is in its session; `_Parent.bury` ends the others."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def watch(self) -> None:
        now = time.monotonic()
        resident = resident_bytes(self.pid)
        self.peak = max(self.peak, resident)
        if resident > self.request["memory"] or self._family_hoards(now):
            self.kill("memory")
        elif self._fills_the_disk(now):
            self.kill("written")
        elif now - self.started > self.request["seconds"]:
            self.kill("timeout")

    def _family_hoards(self, now: float) -> bool:
        """Whether the job and all below it take too much, twice in a row: between fork and exec all counts double."""
        if now < self.look:
            return False
        self.look = now + _LOOK_SECONDS
        family, before = _family(self.pid), self.hungry
        most: int = self.request["memory"]
        self.hungry = len(family) > 1 and sum(map(resident_bytes, family)) > most
        self.hungry = self.hungry and sum(map(proportional_bytes, family)) > most
        return self.hungry and before

    def _fills_the_disk(self, now: float) -> bool:
        if now < self.look_at_files:
            return False
        found = written_bytes(self.request["out"])
        took = time.monotonic() - now
        self.look_at_files = now + max(_WRITTEN_SECONDS, 20 * took)
        return bool(found > self.request["written"])


class _Parent:
    """The loop of a warm parent."""

    def __init__(self, requests: int, events: int) -> None:
        self.requests = requests
        self.events = events
        self.buffer = b""
        self.running: dict[int, _Running] = {}
        self.helpers: set[int] = set()
        """What importing has started."""
        self.unburied = False

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
            self.bury()
            scale = 1 if sys.platform == "darwin" else 1024
            self.say(
                id=running.request["id"],
                status=status,
                killed=running.killed,
                seconds=time.monotonic() - running.started,
                cpu_seconds=usage.ru_utime + usage.ru_stime,
                peak_bytes=max(usage.ru_maxrss * scale, running.peak),
            )

    def bury(self) -> None:
        """End what ended jobs have left, also where it has left its session or its parent is gone.

        What a job starts stays below it; when the job ends, it is ours (`_PR_SET_CHILD_SUBREAPER`).
        """
        until = time.monotonic() + _BURY_SECONDS
        while left := set(_children_of(os.getpid())) - self.running.keys() - self.helpers:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > until:
                break
            time.sleep(0.001)
        self.unburied = bool(left)

    def stop(self) -> None:
        for running in self.running.values():
            running.kill("stopped")
        self.running.clear()  # what importing has started goes, too
        self.helpers.clear()
        self.bury()
        os._exit(0)

    def loop(self) -> None:
        while True:
            busy = self.running or self.unburied
            readable, _, _ = select.select([self.requests], [], [], _POLL_SECONDS if busy else None)
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
            if self.unburied:
                self.bury()


def _serve(preload: list[str]) -> None:
    """Import, say ``{"ready": true}`` (or ``{"broken": "..."}``), then serve until standard input ends.

    Requests: ``{"id", "function", "params", "inputs", "out", "seconds", "memory", "written", "fresh", "environment"}``
    or ``{"cancel": id}``. Events: ``{"id", "pid"}`` when a child (the leader of its session) begins, and ``{"id",
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
    leave_network()
    _ask_kernel(_PR_SET_CHILD_SUBREAPER, 1)
    _limit(resource.RLIMIT_FSIZE, _PRELOAD_FILE)
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
    parent.helpers.update(_children_of(os.getpid()))
    parent.say(ready=True)
    parent.loop()


def main(arguments: list[str]) -> None:
    """Entry point of ``python -m ocr_conformance.worker``."""
    command, *rest = arguments
    if command == "serve":
        _serve(rest)
    elif command == "network":
        print(leave_network())
    else:
        _run_and_leave(json.loads(Path(rest[0]).read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
