"""Jobs without a framework, and the processes they leave (or do not)."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import ocr_conformance
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import JobRequest, Limits, Runner, Workplace

CHECKOUT = Path(__file__).parent.parent.parent
PATIENCE = 60.0
"""Seconds after which something hangs; no test takes nearly as long."""

JOBS = '''
import os, signal, subprocess, sys, threading, time


def fine(job):
    (job.out / "answer.txt").write_text("42")
    return {"answer": 42, "pid": os.getpid(), "cwd": os.getcwd()}


def raises(job):
    job.stage("convert")
    raise ValueError("'toy.Relu6' op is neither a custom op nor a flex op")


def kills_itself(job):
    job.stage("invoke")
    print("last words", file=sys.stderr)
    os.kill(os.getpid(), job.params["signal"])
    time.sleep(600)


def aborts(job):
    job.stage("allocate")
    os.abort()


def waits(job):
    job.stage("convert")
    (job.out / "begun").touch()
    time.sleep(job.params.get("seconds", 600))
    return {}


def hoards(job):
    job.stage("convert")
    hoard = []
    while True:
        hoard.append(b"x" * 20_000_000)
        time.sleep(0.02)


def asks_for_too_much(job):
    job.stage("convert")
    bytearray(1 << 62)


def takes(job):
    hoard = b"x" * job.params["bytes"]
    time.sleep(0.1)
    return {"taken": len(hoard)}


def leaves(job):
    job.stage("convert")
    os._exit(3)


def exits(job):
    job.stage("convert")
    sys.exit("enough")


def chatters(job):
    for _ in range(10):
        sys.stderr.write("chatter\\n" * 131_072)
    print("the last line", file=sys.stderr)
    raise RuntimeError("enough said")


def spawns(job):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(job.params["mark"])])
    if job.params["then"] == "wait":
        time.sleep(600)
    return {"child": child.pid}


def looks_around(job):
    import ocr_conformance
    found = {}
    for name in job.params["modules"]:
        try:
            __import__(name)
            found[name] = True
        except ImportError:
            found[name] = False
    return {
        "found": found,
        "ours": ocr_conformance.__file__,
        "environment": dict(os.environ),
        "preloaded": "colorsys" in sys.modules,
        "argv": sys.orig_argv[1:],
    }


def cannot_be_told(job):
    return {"object": object()}


def counts(job):
    with open(job.params["log"], "a") as log:
        log.write(f"{job.params['name']}\\n")
    time.sleep(job.params.get("seconds", 0))
    text = job.params["name"] + "".join((folder / "text").read_text() for folder in job.inputs.values())
    (job.out / "text").write_text(text)
    if job.params.get("bytes"):
        (job.out / "large.bin").write_bytes(b"x" * job.params["bytes"])
    return {"text": text}


def stamps(job):
    """Appends begin and end to a log of its own name, so that overlaps can be seen."""
    begin = time.time()
    time.sleep(job.params["seconds"])
    with open(f"{job.params['log']}.{job.params['name']}", "w") as log:
        log.write(f"{begin} {time.time()}")
    return {}


def fails(job):
    job.stage("convert")
    with open(job.params["log"], "a") as log:
        log.write(f"{job.params['name']}\\n")
    raise ValueError("no")


def is_killed_from_outside(job):
    job.stage("convert")
    with open(job.params["log"], "a") as log:
        log.write(f"{job.params['name']}\\n")
    os.kill(os.getpid(), signal.SIGKILL)


def litters(job):
    import tempfile
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    return {"left": name}


def fills_the_disk(job):
    job.stage("convert")
    (job.out / "model.bin").write_bytes(b"x" * job.params["bytes"])
    return {}
'''


@pytest.fixture(scope="session")
def worker_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a job may see of us, as the engine stages it."""
    from ocr_conformance import conformance

    root = tmp_path_factory.mktemp("worker")
    package = Path(ocr_conformance.__file__).parent
    for path in conformance._worker_files():
        target = root / "ocr_conformance" / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return root


@pytest.fixture
def jobs(tmp_path: Path) -> str:
    """The file of the job functions."""
    path = tmp_path / "jobs.py"
    path.write_text(JOBS)
    return str(path)


@pytest.fixture
def workplace(worker_path: Path) -> Workplace:
    """This interpreter, nothing preloaded."""
    return Workplace(sys.executable, (str(worker_path),))


@pytest.fixture
def runner() -> Iterator[Runner]:
    """A runner that is closed at the end."""
    made = Runner()
    yield made
    made.close()


@pytest.fixture
def run(runner: Runner, workplace: Workplace, jobs: str, tmp_path: Path) -> Callable[..., Outcome]:
    """``run("name", **params)``: the outcome of one job."""
    count = 0

    def job(
        name: str,
        *,
        place: Workplace | None = None,
        seconds: float = PATIENCE,
        memory: int = 1 << 30,
        fresh: bool = False,
        variables: dict[str, str] | None = None,
        **params: Any,
    ) -> Outcome:
        nonlocal count
        count += 1
        out = tmp_path / f"out-{count}"
        out.mkdir()
        request = JobRequest(f"{jobs}:{name}", params, {}, out, fresh, variables or {})
        return runner.run(place or workplace, request, Limits(seconds, memory))

    return job


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until ``what()`` is true, and return it."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def processes(mark: str) -> list[psutil.Process]:
    """Running processes that have ``mark`` in their command line or in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), *process.environ().values()]
            if process.status() != psutil.STATUS_ZOMBIE and any(mark in text for text in known):
                found.append(process)
        except psutil.Error:
            continue
    return found
