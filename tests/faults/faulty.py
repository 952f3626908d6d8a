"""What a job can do wrong, for real. A job does it while the file ``params["flag"]`` is there, and works when not."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import mmap
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ocr_conformance.job import Job

_MAP_NORESERVE = 0x4000  # linux/mman.h; Python 3.10 does not know it
_DAEMON = """
import os, sys, time
if sys.argv[2] != "plain":
    os.setsid()
for _ in range(10 if sys.argv[2] == "chain" else 1 if sys.argv[2] == "daemon" else 0):
    if os.fork():
        os._exit(0)
    os.setsid()
if sys.argv[2] == "daemon":
    os.chdir("/")
    for number in range(3):
        os.close(number)
time.sleep(600)
"""


def segv(job: Job) -> None:
    ctypes.string_at(0)


def abort(job: Job) -> None:
    os.abort()


def kill(job: Job) -> None:
    os.kill(os.getpid(), 9)


def leave(job: Job) -> None:
    os._exit(0)


def loop(job: Job) -> None:
    while True:
        pass


def loop_in_c(job: Job) -> None:
    all(itertools.repeat(True))  # never gives the interpreter up, never looks for signals


def touch_20_gigabytes(job: Job) -> None:
    """In one call into C."""
    size = 20 << 30
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 1, size)


def a_child_that_hoards(job: Job) -> None:
    code = "hoard = []\nwhile True: hoard.append(b'x' * 10_000_000)"
    subprocess.run([sys.executable, "-c", code], check=False)


def many_children_that_hoard(job: Job) -> None:
    """Each within the limit."""
    code = "hoard = b'x' * (40 << 20); import time; time.sleep(600)"
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]
    children[0].wait()


def noise(job: Job) -> None:
    """100 MB on standard error; it works all the same."""
    for _ in range(100):
        os.write(2, b"chatter\n" * (1 << 17))
    print("the last line", file=sys.stderr)


def noise_in_one_line(job: Job) -> None:
    for _ in range(100):
        os.write(2, b"x" * (1 << 20))
    raise RuntimeError("enough said")


def endless_noise(job: Job) -> None:
    while True:
        os.write(1, b"chatter\n" * (1 << 17))
        time.sleep(0.002)


def endless_files(job: Job) -> None:
    for number in itertools.count():
        (job.out / f"{number}.bin").write_bytes(b"x" * (4 << 20))
        time.sleep(0.02)


def endless_temporary_files(job: Job) -> None:
    import tempfile

    for _ in itertools.count():
        descriptor, _ = tempfile.mkstemp()
        os.write(descriptor, b"x" * (4 << 20))
        os.close(descriptor)
        time.sleep(0.02)


def endless_file_elsewhere(job: Job) -> None:
    with Path(job.params["elsewhere"]).open("wb") as stream:
        while True:
            stream.write(b"x" * (4 << 20))


def terabyte(job: Job) -> None:
    """A hole: no disk would be full of it, but it would be hashed."""
    with (job.out / "model.bin").open("wb") as stream:
        stream.truncate(1 << 40)


def _start(job: Job, kind: str) -> None:
    arguments = [sys.executable, "-c", _DAEMON, job.params["mark"], kind]
    if kind in ("plain", "session"):
        subprocess.Popen(arguments)
    else:
        subprocess.run(arguments, check=True, env={"PATH": os.environ["PATH"]})
    time.sleep(0.3)  # for its session


def grandchild(job: Job) -> None:
    _start(job, "plain")


def grandchild_in_a_session_of_its_own(job: Job) -> None:
    _start(job, "session")


def daemon(job: Job) -> None:
    _start(job, "daemon")


def chain_of_daemons(job: Job) -> None:
    _start(job, "chain")


def daemon_and_crash(job: Job) -> None:
    _start(job, "daemon")
    ctypes.string_at(0)


def daemon_and_hang(job: Job) -> None:
    _start(job, "daemon")
    time.sleep(600)


def _leave_result(job: Job, text: str | bytes) -> NoReturn:
    (job.out / ".result.json").write_bytes(text.encode() if isinstance(text, str) else text)
    os._exit(0)


def _result(job: Job, **changed: Any) -> str:
    return json.dumps({"job": str(job.out), "ok": True, "facts": {"answer": 41}, **changed})


def result_cut_off(job: Job) -> None:
    _leave_result(job, _result(job)[:-5])


def result_no_json(job: Job) -> None:
    _leave_result(job, b"\xff\xfe\0 <html>")


def result_deep(job: Job) -> None:
    _leave_result(job, "[" * 200_000)


def result_list(job: Job) -> None:
    _leave_result(job, "[]")


def result_facts_list(job: Job) -> None:
    _leave_result(job, _result(job, facts=["answer"]))


def result_ok_text(job: Job) -> None:
    _leave_result(job, _result(job, ok="yes"))


def result_no_message(job: Job) -> None:
    _leave_result(job, _result(job, ok=False, type="ValueError"))


def result_of_another_job(job: Job) -> None:
    _leave_result(job, json.dumps({**json.loads(_result(job)), "job": str(job.out.parent / "another")}))


def result_pipe(job: Job) -> None:
    os.mkfifo(job.out / ".result.json")
    os._exit(0)


def result_endless(job: Job) -> None:
    (job.out / ".result.json").symlink_to("/dev/zero")
    os._exit(0)


def result_folder(job: Job) -> None:
    (job.out / ".result.json" / "deeper").mkdir(parents=True)
    os._exit(0)


def stage_garbage(job: Job) -> None:
    (job.out / ".stage").write_bytes(b"\xff\0convert\n")
    ctypes.string_at(0)


def stage_pipe(job: Job) -> None:
    (job.out / ".stage").unlink()
    os.mkfifo(job.out / ".stage")
    ctypes.string_at(0)


def log_is_a_link(job: Job) -> None:
    (job.out / ".stderr").unlink()
    (job.out / ".stderr").symlink_to(job.params["secret"])
    ctypes.string_at(0)


def folder_closed(job: Job) -> None:
    (job.out / "deeper").mkdir()
    (job.out / "deeper" / "file").touch()
    (job.out / "deeper").chmod(0)
    job.out.chmod(0)
    os._exit(0)


def folder_gone(job: Job) -> None:
    import shutil

    shutil.rmtree(job.out)


def folder_is_a_link(job: Job) -> None:
    import shutil

    shutil.rmtree(job.out)
    job.out.symlink_to(job.params["folder"])
    os._exit(0)


def folder_is_a_file(job: Job) -> None:
    import shutil

    shutil.rmtree(job.out)
    job.out.write_text("a file")
    os._exit(0)


def folders_without_end(job: Job) -> None:
    for _ in range(job.params.get("depth", 300)):
        os.mkdir("x" * 20)
        os.chdir("x" * 20)


def leavings(job: Job) -> None:
    """All that a folder can hold, and a file that is the job's result among it."""
    (job.out / "link").symlink_to(job.params["secret"])
    (job.out / "folder").symlink_to(job.params["folder"])
    (job.out / "dangling").symlink_to("nowhere")
    (job.out / "circle").symlink_to("circle")
    (job.out / "zeros").symlink_to("/dev/zero")
    os.mkfifo(job.out / "pipe")
    here = os.getcwd()
    os.chdir(job.out)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    os.chdir(here)
    with contextlib.suppress(PermissionError):
        os.mknod(job.out / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    (job.out / "two\nlines").write_text("1")
    (job.out / "closed").mkdir()
    (job.out / "closed" / "file").write_text("2")
    (job.out / "closed" / "file").chmod(0)
    (job.out / "closed").chmod(0)
    with contextlib.suppress(OSError):  # macOS wants UTF-8
        Path(os.fsdecode(os.fsencode(job.out) + b"/\xff\xfe")).write_text("3")
    (job.out / "entry.json").symlink_to(job.params["secret"])


def entry_folder(job: Job) -> None:
    (job.out / "entry.json" / "deeper").mkdir(parents=True)


def spoil_inputs(job: Job) -> None:
    for folder in job.inputs.values():
        path = folder / "answer.txt"
        path.write_text("41")
        os.utime(path, (time.time(), time.time()))


def remove_inputs(job: Job) -> None:
    import shutil

    for folder in job.inputs.values():
        shutil.rmtree(folder)


def add_to_inputs(job: Job) -> None:
    for folder in job.inputs.values():
        (folder / "simplified.onnx").write_text("in place")


def _events() -> int:
    """A descriptor of the pipe by which the warm parent talks to the engine."""
    parent = os.getppid()
    for name in sorted(os.listdir(f"/proc/{parent}/fd"), key=int):
        path = f"/proc/{parent}/fd/{name}"
        if os.readlink(path).startswith("pipe:") and int(name) > 2:
            with contextlib.suppress(OSError):
                flags = Path(f"/proc/{parent}/fdinfo/{name}").read_text()
                if int(re.findall(r"flags:\s+(\d+)", flags)[0], 8) & os.O_ACCMODE == os.O_WRONLY:
                    return os.open(path, os.O_WRONLY)
    raise AssertionError("no such pipe")


def say_garbage(job: Job) -> None:
    os.write(_events(), b"I am no event\n")
    time.sleep(600)


def say_numbers(job: Job) -> None:
    os.write(_events(), b"42\n")
    time.sleep(600)


def say_of_no_job(job: Job) -> None:
    os.write(_events(), b'{"id": 77, "pid": 1}\n')
    time.sleep(600)


def say_without_end(job: Job) -> None:
    events = _events()
    while True:
        os.write(events, b"x" * 4096)


def kill_parent(job: Job) -> None:
    os.kill(os.getppid(), 9)
    time.sleep(600)


def wait_for_the_other(job: Job) -> None:
    """The first time for long, the second time not at all."""
    begun = Path(job.params["begun"])
    if not begun.exists():
        (job.out / "unfinished").touch()
        begun.touch()
        time.sleep(600)


def stop_parent(job: Job) -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(600)


def daemon_and_kill_parent(job: Job) -> None:
    subprocess.run([sys.executable, "-c", _DAEMON, job.params["mark"], "chain"], check=True)
    time.sleep(0.3)
    os.kill(os.getppid(), 9)
    time.sleep(600)


def job(job: Job) -> dict[str, Any]:
    """Do wrong, or work."""
    job.stage("convert")
    if job.params["fault"] and Path(job.params["flag"]).exists():
        fault: Callable[[Job], None] = globals()[job.params["fault"]]
        fault(job)
    (job.out / "answer.txt").write_text("42")
    return {"answer": 42}


def reach(job: Job) -> dict[str, Any]:
    """What can be reached: a server of the host, the world, a server of its own."""

    def ask(address: tuple[str, int], family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> str:
        try:
            with socket.socket(family, kind) as made:
                made.settimeout(5)
                made.connect(address)
                made.send(b"hello")
        except OSError as error:
            return type(error).__name__
        return "reached"

    found = {
        "server": ask(("127.0.0.1", job.params["port"])),
        "outside": ask(("192.0.2.1", 80)),
        "outside, unasked": ask(("192.0.2.1", 80), kind=socket.SOCK_DGRAM),
        "outside by IPv6": ask(("2001:db8::1", 80), socket.AF_INET6),
        "in a child": subprocess.run(
            [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {job.params['port']}), 5)"],
            check=False,
            capture_output=True,
        ).returncode,
        "user": [os.getuid(), os.getgid(), (job.out / ".stage").stat().st_uid],
    }
    try:
        with socket.create_server(("127.0.0.1", 0)) as own:
            found["loopback"] = ask(own.getsockname())
    except OSError as error:
        found["loopback"] = type(error).__name__
    first, second = socket.socketpair()
    first.send(b"1")
    found["pair"] = second.recv(1).decode()
    return found
