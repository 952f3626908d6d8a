"""Interrupts a write of ours at each of its operations on files, in a process of its own: it forks.

``python strikes.py SCENARIO HOW FOLDER STRIDE`` carries out the scenario in a forked child again and again: struck at
its first operation, at its second, and so on, until a child gets through. After each it looks at what is left. Prints
``{"strikes": N, "problems": [...]}``.

``HOW`` is what strikes:

- ``kill``: SIGKILL before the N-th operation, as Python's audit hook sees them (open, rename, mkdir, lock, ...);
- ``cut``: the kernel kills a process that would write a file beyond N bytes (RLIMIT_FSIZE), in the middle of a write;
- ``full``: from the N-th operation that makes a file or folder on, each of them fails with ENOSPC;
- ``broken``: the N-th operation fails with EIO;
- ``syscall`` (strace): SIGKILL at the N-th system call; ``refused``: ENOSPC from the N-th one that could meet it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from PIL import Image

from ocr_conformance import manifest, pictures, report, weights
from ocr_conformance.cache import Cache, digest, disk_errors, tree_sha256
from ocr_conformance.cases import Case
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.errors import UserError
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import Limits
from ocr_conformance.registry import Registry

KEY = digest("a job")
LIMITS = Limits(10, 1 << 30)
FIRST, SECOND = b"first" * 5000, b"second" * 6000
STRUCK, REFUSED = 3, 4
"""Exit statuses: a traceback, and one sentence."""


# --- scenarios: what is there before, what is done, and what may be there afterwards ----------------------------------


def put(cache: Cache, key: str = KEY, content: bytes = FIRST) -> None:
    """Store an entry of two files."""
    workspace = cache.workspace()
    with disk_errors(cache.root):  # a job's own writes are not what is tried here
        (workspace / "model.bin").write_bytes(content)
        (workspace / "sub").mkdir()
        (workspace / "sub" / "texts.json").write_text("[]")
    outcome = Outcome("ok", "convert", facts={"bytes": len(content)}, seen=time.time())
    cache.store(key, "a job", outcome, workspace, LIMITS)


def stored(cache: Cache, key: str = KEY) -> bytes | None:
    """The content of an entry that is whole; ``None``: there is none."""
    found = cache.lookup(key, LIMITS)
    if found is None or not cache.verify(key):
        return None
    assert found.folder is not None
    content = (found.folder / "model.bin").read_bytes()
    assert found.facts == {"bytes": len(content)}, "facts and file belong together"
    return content


def clean(cache: Cache) -> None:
    """What a dead process left goes with `prune`."""
    cache.prune()
    for name in ("tmp", "runs"):
        assert os.listdir(cache.root / name) == [], f"left in {name}"
    for folder in (cache.root / "entries").glob("*/*"):
        assert (folder / "entry.json").is_file(), f"half an entry: {folder}"


class Scenario:
    """A write; ``prepare``, ``act`` and ``check`` get the folder of one trial."""

    def prepare(self, root: Path) -> None:
        """Nothing is there."""

    def act(self, root: Path) -> None:
        """What is struck."""
        raise NotImplementedError

    def check(self, root: Path) -> None:
        """Look at what is left, do it again, and tidy up."""
        raise NotImplementedError


class Store(Scenario):
    """A new entry."""

    allowed: tuple[bytes | None, ...] = (None, FIRST)

    def act(self, root: Path) -> None:
        cache = Cache(root)
        with cache.in_use(), cache.flight(KEY) as mine:
            assert mine
            put(cache)

    def check(self, root: Path) -> None:
        cache = Cache(root)
        assert stored(cache) in self.allowed
        with cache.flight(KEY) as mine:
            assert mine, "the lock of a dead process"
            put(cache, content=FIRST)
        assert stored(cache) == FIRST
        clean(cache)


class Replace(Store):
    """An entry in the place of another, as where a time-out was raised."""

    allowed = (None, FIRST, SECOND)

    def prepare(self, root: Path) -> None:
        put(Cache(root), content=SECOND)


class Discard(Store):
    """An entry is removed."""

    def prepare(self, root: Path) -> None:
        put(Cache(root))

    def act(self, root: Path) -> None:
        Cache(root).discard(KEY)


class Rotten(Discard):
    """An entry with an altered file is removed by whoever reads it."""

    allowed = (None,)

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        (file,) = (root / "entries").glob("*/*/model.bin")
        file.write_bytes(b"F" + FIRST[1:])

    def act(self, root: Path) -> None:
        assert Cache(root).lookup(KEY, LIMITS) is None


class Prune(Store):
    """Two entries, code, a lock and a workspace that a dead process left are removed."""

    def prepare(self, root: Path) -> None:
        cache = Cache(root)
        put(cache)
        put(cache, digest("another job"))
        (root / "code" / f"toy-{'0d' * 8}").mkdir(parents=True)
        (root / "code" / f"toy-{'0d' * 8}" / "model.py").write_text("pass")
        (root / "locks" / f"{digest('long ago')}.lock").touch()
        (root / "tmp" / f"999999999-{'0d' * 16}").mkdir()
        (root / "tmp" / f"999999999-{'0d' * 16}" / "half").touch()
        for path in [*root.rglob("*.py"), *root.rglob("*.lock"), *root.rglob("toy-*")]:
            os.utime(path, (0, 0))

    def act(self, root: Path) -> None:
        Cache(root).prune(keep_bytes=0)

    def check(self, root: Path) -> None:
        super().check(root)
        assert stored(Cache(root), digest("another job")) in self.allowed
        assert Cache(root).prune(keep_bytes=0)[0] > 0
        assert list(root.rglob("*.py")) == []
        assert not (root / "locks" / f"{digest('long ago')}.lock").exists()
        clean(Cache(root))


def engine(root: Path) -> Engine:
    """Of a run that has its cache there."""
    return Engine(Settings(cache=root / "cache"), Registry())


class Stage(Scenario):
    """Code is copied for jobs."""

    CODE: ClassVar = {"package/__init__.py": "", "package/a.py": "A = 1\n" * 2000, "package/b/c.py": "C = 1\n"}

    def prepare(self, root: Path) -> None:
        for name, text in self.CODE.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

    def _stage(self, root: Path) -> Path:
        files = [(name, root / name) for name in self.CODE]
        with disk_errors(root):
            sha256 = tree_sha256(files)
        with engine(root) as ours:
            return ours._staged("package", sha256, files)

    def act(self, root: Path) -> None:
        self._stage(root)

    def check(self, root: Path) -> None:
        folder = self._stage(root)
        assert {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")} == self.CODE
        clean(Cache(root / "cache"))


class Keep(Scenario):
    """A search's counterexample is kept beside an older one of the same picture."""

    CASE = Case.parse("toy/pack/int8@here")

    def _keep(self, root: Path, seed: int) -> None:
        made = root / f"made-{seed}"
        picture = {"words": [{"text": "abc"}]}
        search = Outcome("ok", "search", facts={"counterexample": {"picture": picture, "read": seed}}, folder=made)
        with engine(root) as ours:
            ours.settings = Settings(cache=root / "cache", search_seed=seed)
            ours._keep(SimpleNamespace(case=self.CASE), search)  # type: ignore[arg-type]

    def prepare(self, root: Path) -> None:
        for seed in (1, 2):
            (root / f"made-{seed}").mkdir()
            (root / f"made-{seed}" / "counterexample.png").write_bytes(str(seed).encode() * 1000)
        self._keep(root, 1)

    def act(self, root: Path) -> None:
        self._keep(root, 2)

    def _look(self, root: Path) -> None:
        for path in (root / "cache" / "counterexamples").rglob("*.json"):
            known = json.loads(path.read_text())
            assert known["read"] == known["seed"]
            assert path.with_suffix(".png").read_bytes() == str(known["seed"]).encode() * 1000, "picture of another"

    def check(self, root: Path) -> None:
        self._look(root)
        self.act(root)
        self._look(root)
        names = [path.suffix for path in (root / "cache" / "counterexamples").rglob("*") if path.is_file()]
        assert sorted(names) == [".json", ".png"], names


class Write(Scenario):
    """A report in the place of an older one."""

    NAME = "run.json"
    CONTENT = tuple(json.dumps([number] * 5000) for number in range(2))

    def _write(self, root: Path, number: int) -> None:
        report.put(self.CONTENT[number], root / self.NAME, "--ocr-report")

    def prepare(self, root: Path) -> None:
        self._write(root, 0)

    def act(self, root: Path) -> None:
        self._write(root, 1)

    def check(self, root: Path) -> None:
        assert (root / self.NAME).read_text() in self.CONTENT
        self.act(root)
        assert (root / self.NAME).read_text() == self.CONTENT[1]
        assert [path.name for path in root.iterdir()] == [self.NAME]


class Artifact(Scenario):
    """An artifact and its manifest in the place of older ones."""

    def _write(self, root: Path, content: bytes) -> None:
        product = root / str(len(content))
        manifest.write(root / "artifacts" / "toy.bin", product, {"sha256": hashlib.sha256(content).hexdigest()})

    def prepare(self, root: Path) -> None:
        for content in (FIRST, SECOND):
            (root / str(len(content))).write_bytes(content)
        self._write(root, FIRST)

    def act(self, root: Path) -> None:
        try:
            self._write(root, SECOND)
        except OSError as error:  # as the engine does
            raise UserError(str(error)) from None

    def check(self, root: Path) -> None:
        content, known = root / "artifacts" / "toy.bin", root / "artifacts" / "toy.json"
        if known.exists():
            assert hashlib.sha256(content.read_bytes()).hexdigest() == json.loads(known.read_text())["sha256"]
        assert content.read_bytes() in (FIRST, SECOND)
        self.act(root)
        assert content.read_bytes() == SECOND
        assert json.loads(known.read_text())["sha256"] == hashlib.sha256(SECOND).hexdigest()
        assert sorted(path.name for path in content.parent.iterdir()) == ["toy.bin", "toy.json"]


class Picture(Scenario):
    """A picture of what was found in a scene."""

    DATA: ClassVar[dict[str, Any]] = {"source": [], "artifact": [], "lost": [], "invented": [], "image": "scene.png"}

    def _write(self, root: Path) -> Path:
        return pictures.write(root / "pictures", "toy/pack/int8@here", root / "scene.png", "scene.png", self.DATA)

    def prepare(self, root: Path) -> None:
        Image.new("RGB", (40, 30), (200, 100, 50)).save(root / "scene.png")

    def act(self, root: Path) -> None:
        self._write(root)

    def check(self, root: Path) -> None:
        for path in (root / "pictures").rglob("*.png"):
            if not path.name.startswith("."):
                Image.open(path).load()
        target = self._write(root)
        Image.open(target).load()
        assert [path.name for path in target.parent.iterdir()] == [target.name]


class Download(Scenario):
    """Weights are fetched into the cache."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(FIRST)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(FIRST)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        os.environ["NO_PROXY"] = "127.0.0.1"
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_address[1]}/weights.bin"
        self.sources = {"main": weights.WeightsSource("main", hashlib.sha256(FIRST).hexdigest(), url=url)}

    def _fetch(self, root: Path) -> Path:
        found = weights.resolve("main", "toy", self.sources, folder=root, cache=root / "weights")
        assert found.path is not None
        return Path(found.path)

    def act(self, root: Path) -> None:
        self._fetch(root)

    def check(self, root: Path) -> None:
        for path in root.rglob("*.bin"):
            assert path.read_bytes() == FIRST, "half of it, under its name"
        assert self._fetch(root).read_bytes() == FIRST
        left = [path.name for path in (root / "weights").iterdir() if path.suffix not in (".bin", ".lock")]
        assert left == [], left


SCENARIOS: dict[str, type[Scenario]] = {
    "store": Store,
    "replace": Replace,
    "discard": Discard,
    "rotten": Rotten,
    "prune": Prune,
    "stage": Stage,
    "keep": Keep,
    "report": Write,
    "artifact": Artifact,
    "picture": Picture,
    "download": Download,
}


# --- what strikes -----------------------------------------------------------------------------------------------------

_COUNTED = ("open", "os.", "fcntl.")
_MAKES = os.O_CREAT | os.O_WRONLY | os.O_RDWR
_MAKING = "openat,mkdir,write,pwrite64,writev,copy_file_range,sendfile,rename"


def _makes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an operation takes space."""
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & _MAKES)
    return event == "os.mkdir"


_struck = mmap.mmap(-1, 1)
"""Shared with the children: whether the last one was struck."""


def _arm(how: str, number: int) -> None:
    """Let the ``number``-th operation of this process from now on be its last, or fail."""
    if how == "cut":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
        return
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if not event.startswith(_COUNTED) or (how == "full" and not _makes(event, arguments)):
            return
        if arguments and isinstance(arguments[0], str) and arguments[0].startswith("/proc"):
            return  # no disk
        count += 1
        if count == number:
            _struck[0] = 1
        if count == number and how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if count == number and how == "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if count >= number and how == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sys.addaudithook(hook)


_TRACED = ("syscall", "refused")
_calls: list[tuple[str, int]] = []
"""The system calls of a child that gets through, in order: name, and which of that name."""


def _traced(how: str, number: int) -> list[str]:
    """The options of strace; number 0 strikes nothing."""
    calls = "all" if how == "syscall" else _MAKING
    if number == 0:
        return ["-e", f"trace={calls}"]
    name, count = _calls[number - 1]
    what = f"signal=SIGKILL:when={count}" if how == "syscall" else f"error=ENOSPC:when={count}+"
    return ["-e", f"trace={name}", "-e", f"inject={name}:{what}"]


def _note(log: str) -> None:
    """Read strace's log into `_calls`."""
    counts: dict[str, int] = {}
    for line in log.splitlines():
        name, bracket, _ = line.partition("(")
        if bracket and name.isidentifier():
            counts[name] = counts.get(name, 0) + 1
            _calls.append((name, counts[name]))


def _child(scenario: Scenario, root: Path, how: str, number: int, gate: int) -> int:
    """What a forked child does; its exit status."""
    try:
        if how in _TRACED:
            os.read(gate, 1)  # until the tracer is there
        else:
            _arm(how, number)
        scenario.act(root)
        return 0
    except UserError as error:
        return REFUSED if "\n" not in str(error) else STRUCK
    except BaseException:
        traceback.print_exc()
        return STRUCK


def strike(scenario: Scenario, root: Path, how: str, number: int) -> tuple[int, bool]:
    """Carry out the scenario in a forked child that is to be struck; its exit status, and whether it was struck."""
    _struck[0] = 0
    log = root.parent / "strace"
    gate, opened = os.pipe()
    pid = os.fork()
    if pid == 0:
        os._exit(_child(scenario, root, how, number, gate))
    tracer = None
    if how in _TRACED:
        command = ["strace", "-o", str(log), *_traced(how, number), "-p", str(pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert "attached" in said, said
    os.write(opened, b"x")
    _, status = os.waitpid(pid, 0)
    os.close(gate)
    os.close(opened)
    code = os.waitstatus_to_exitcode(status)
    if tracer is not None:
        tracer.communicate()
        said = log.read_text(errors="replace")
        if number == 0:
            _note(said)
        return code, "INJECTED" in said or code < 0
    return code, bool(_struck[0]) or code < 0


def main(name: str, how: str, folder: str, stride: str) -> None:
    """Strike at each (or each ``stride``-th) operation until the child gets through."""
    scenario = SCENARIOS[name]()
    base = Path(folder)
    first = base / "first"
    first.mkdir()
    scenario.prepare(first)
    scenario.act(first)  # imports what it needs; and it must work
    scenario.check(first)
    problems: list[str] = []
    if how in _TRACED:
        root = base / "traced"
        root.mkdir()
        scenario.prepare(root)
        assert strike(scenario, root, how, 0)[0] == 0
    number, strikes = 1, 0
    step = {"cut": 997}.get(how, 1) * int(stride)
    while how not in _TRACED or number <= len(_calls):
        root = base / str(number)
        root.mkdir()
        scenario.prepare(root)
        code, struck = strike(scenario, root, how, number)
        deadly = how in ("kill", "cut", "syscall")
        expected = (0, -signal.SIGKILL, -signal.SIGXFSZ) if deadly else (0, REFUSED)
        if code not in expected:
            problems.append(f"strike {number}: ended with status {code}")
        try:
            scenario.check(root)
        except BaseException:
            problems.append(f"strike {number} (status {code}): {traceback.format_exc(limit=-3)}")
        shutil.rmtree(root)
        if not struck and how not in _TRACED:
            break
        strikes += 1
        number += step
    print(json.dumps({"strikes": strikes, "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])
