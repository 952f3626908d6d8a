"""A downstream repository that pytest runs in, in processes of its own, and what a run may leave behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import CHECKOUT, PATIENCE, processes, wait_for

PYTEST = (
    *(sys.executable, "-m", "pytest", "-p", "ocr_conformance.plugin"),
    *("-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
)
OURS = (sys.executable, "-m", "ocr_conformance")
SLOW = ("--ocr-model=reader:slow", "--ocr-mode=float32", "--ocr-check=text")
QUICK = ("--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=text")


class Repository:
    """A downstream repository, with a cache and slots of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root.parent / "cache"
        self.temporary = root.parent / "tmp"
        self.temporary.mkdir()
        self.contract = root / "models" / "reader" / "contract.toml"
        self.model = root / "models" / "reader" / "model.py"
        self.environment = {
            **os.environ,
            "TMPDIR": str(self.temporary),  # where the slots live, too
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(CHECKOUT),  # our package wherever the tests run
        }
        """Each process of a run, whoever started it, has the temporary folder in its environment."""
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run pytest."""
        return self.launch([*PYTEST, "-q", f"--ocr-cache={self.cache}", *arguments])

    def launch(self, command: Sequence[str | bytes], **more: Any) -> subprocess.Popen[str]:
        """Run a program as this repository's."""
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, **more}
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            text=True,
            errors="backslashreplace",
            preexec_fn=plain_signals,  # noqa: PLW1509 - no threads here
            **given,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """End whatever a broken test left running."""
        for process in self._started:
            process.kill()
            process.communicate()
        for left in processes(str(self.temporary)):
            left.kill()

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run pytest to its end; its output."""
        return finish(self.start(*arguments), status)

    def converting(self) -> bool:
        """Whether the slow converter is at work."""
        return "convert" in self.stages()

    def stages(self) -> list[str]:
        """How far the jobs are that run now."""
        found = []
        for path in (self.cache / "tmp").glob("*/.stage"):
            with contextlib.suppress(OSError):
                found.append(path.read_text())
        return found

    def slow(self, seconds: float) -> None:
        """Let the slow converter take so long."""
        self.contract.write_text(re.sub(r"seconds = [0-9.]+", f"seconds = {seconds}", self.contract.read_text()))

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Run pytest until the slow conversion is under way."""
        process = self.start(*SLOW, *arguments)
        try:
            wait_for(self.converting)
        except BaseException:
            process.kill()
            raise
        return process

    def unmarked(self) -> bool:
        """Nothing of ours runs any more: no engine, no warm parent, no job."""
        return not processes(str(self.temporary))

    def nothing_left(self) -> None:
        """Assert that no process and no temporary file of a run is left."""
        wait_for(self.unmarked)
        found = [path for name in ("tmp", "runs") for path in (self.cache / name).glob("*")]
        found += self.root.parent.rglob(".*part*")
        found += [path for path in self.temporary.rglob("*") if not _stays(path, self.temporary)]
        assert not found, found


def _stays(path: Path, root: Path) -> bool:
    """Whether this belongs to the places for jobs, which stay, or is pytest's own (where xdist is in use)."""
    first = path.relative_to(root).parts[0]
    return bool(re.fullmatch(r"ocr-conformance-\d+", path.name)) or path.suffix == ".lock" or "pytest-of-" in first


def plain_signals() -> None:
    """A shell's background job, as CI may be, is started with SIGINT ignored, and so would be what it starts."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def finish(process: subprocess.Popen[str], status: int) -> str:
    """Wait for the end of a process; its output, whose white space is single blanks. No traceback may be in it."""
    try:
        out, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == status, out
    assert "Traceback" not in out and "INTERNALERROR" not in out, out
    return " ".join(out.split())


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory; skips where mounting is not allowed."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
