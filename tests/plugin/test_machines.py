"""A run over several machines: xdist's socket workers, each in an environment, a cache and a folder of its own."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ocr_conformance

pytest.importorskip("xdist")

CHECKS = ("conversion", "text", "size", "latency")
TWO = (
    *("--ocr-model=reader", "--ocr-model=reader:garbage", "--ocr-mode=full-int8", "--ocr-no-explain"),
    *(f"--ocr-check={name}" for name in CHECKS),
)
"""Two models that have no job in common."""


@dataclass(frozen=True)
class Machine:
    """What stands for a machine: a virtual environment in which execnet's socket server waits for a controller."""

    folder: Path
    server: subprocess.Popen[str]
    port: int

    @property
    def options(self) -> tuple[str, str]:
        """What makes it a worker: it has the repository in a place of its own."""
        return "--tx", f"socket=127.0.0.1:{self.port}//chdir={self.folder / 'repository'}"

    @property
    def cache(self) -> Path:
        """Its user's cache folder."""
        return self.folder / "cache" / "ocr-conformance" / "artifacts"


@pytest.fixture
def machine(tmp_path: Path, make_repository: Callable[[Path], Path]) -> Iterator[Callable[..., Machine]]:
    """Start a machine: ``machine(name)``. It has our distributions by way of a ``.pth`` file, and no ``sys.path`` of
    this process."""
    servers = []

    def start(name: str) -> Machine:
        folder = tmp_path / name
        make_repository(folder / "repository")
        venv.create(folder / "environment", with_pip=False, symlinks=True)
        python = folder / "environment" / "bin" / "python"
        target = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
        lines = [f"import site; site.addsitedir({place!r})\n" for place in sorted(places)]
        Path(target.strip(), "distributions.pth").write_text("".join(lines))
        (folder / "tmp").mkdir()
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        own = {"HOME": folder, "TMPDIR": folder / "tmp", "XDG_CACHE_HOME": folder / "cache"}
        own["PYTHONPATH"] = Path(ocr_conformance.__file__).parents[1]
        with (folder / "errors").open("w") as errors:
            server = subprocess.Popen(
                [python, "-u", "-m", "execnet.script.socketserver", "127.0.0.1:0"],
                cwd=folder,
                env=outside | {name: str(value) for name, value in own.items()},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        servers.append(server)
        assert server.stdout is not None
        found = re.search(r"Accept loop \('127\.0\.0\.1', (\d+)\)", server.stdout.readline())
        assert found, (folder / "errors").read_text()
        return Machine(folder, server, int(found[1]))

    yield start
    for server in servers:
        server.kill()
        server.communicate()


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    status: int
    text: str
    record: dict[str, Any]

    @property
    def run(self) -> dict[str, Any]:
        """Its record's only run: workers, toolchains, how many jobs were run."""
        (run,) = self.record["runs"]
        return run  # type: ignore[no-any-return]

    @property
    def verdicts(self) -> dict[str, dict[str, str]]:
        """By case and check."""
        return {
            case: {name: check["verdict"] for name, check in known["checks"].items()}
            for case, known in self.record["cases"].items()
        }


@pytest.fixture
def control(downstream: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a run in the downstream repository, whose record becomes ``run.json``."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        (tmp_path / "tmp").mkdir(exist_ok=True)
        (downstream / "run.json").unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ocr-report=run.json", *arguments],
            cwd=downstream,
            env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "controller")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture
def run(control: Callable[..., subprocess.Popen[str]], downstream: Path) -> Callable[..., Run]:
    """Run to the end."""

    def end(*arguments: str) -> Run:
        return finish(control(*arguments), downstream)

    return end


def finish(process: subprocess.Popen[str], repository: Path) -> Run:
    """Wait for a run."""
    text, _ = process.communicate()
    report = repository / "run.json"
    return Run(process.returncode, text, json.loads(report.read_text()) if report.exists() else {})


def test_no_hop_is_run_twice(machine: Callable[..., Machine], run: Callable[..., Run], tmp_path: Path) -> None:
    alone = run(*TWO, f"--ocr-cache={tmp_path / 'alone'}")
    assert alone.status == 0, alone.text

    first, second = machine("first"), machine("second")
    groups = run(*TWO, *first.options, *second.options, "--dist=loadgroup")
    assert groups.status == 0, groups.text
    assert groups.verdicts == alone.verdicts
    assert groups.run["jobs_run"] == alone.run["jobs_run"]
    assert first.cache.is_dir(), "each has judged, with a cache of its own"
    assert second.cache.is_dir()
    assert not (tmp_path / "controller" / "ocr-conformance" / "artifacts").exists(), "the controller ran nothing"
    assert set(groups.run["environment"]["workers"]) == {"gw0", "gw1"}


@pytest.mark.parametrize("distribution", ["load", "worksteal"])
def test_a_shared_cache_makes_any_distribution_right(
    machine: Callable[..., Machine], run: Callable[..., Run], tmp_path: Path, distribution: str
) -> None:
    shared = f"--ocr-cache={tmp_path / 'shared'}"
    workers = (*machine("first").options, *machine("second").options)
    both = run(*TWO, *workers, f"--dist={distribution}", shared)
    again = run(*TWO, shared)
    assert (both.status, again.status) == (0, 0), both.text
    assert both.verdicts == again.verdicts
    assert again.run["jobs_run"] == 0
    entries = len(list((tmp_path / "shared" / "entries").glob("*/*")))
    assert both.run["jobs_run"] == entries, "each was run once"


def test_a_worker_that_goes_away_is_a_failure_and_said(
    machine: Callable[..., Machine], control: Callable[..., subprocess.Popen[str]], downstream: Path
) -> None:
    lost = machine("lost")
    process = control("--ocr-model=reader:slow", *lost.options, "--dist=load", "--max-worker-restart=0")
    deadline = time.monotonic() + 60
    while not list(lost.folder.glob("tmp/*/slot-*.json")):
        assert time.monotonic() < deadline, process.poll()
        time.sleep(0.05)
    lost.server.kill()
    run = finish(process, downstream)
    assert run.status == 1, run.text
    assert "INTERNALERROR" not in run.text
    assert "worker 'gw0' crashed while running" in run.text
    (case,) = run.record["cases"].values()
    (check,) = case["checks"].values()
    assert check["verdict"] == "failed"
    assert "worker 'gw0' crashed" in check["message"]
    assert any(line.startswith("worker gw0 (") and "went away" in line for line in run.run["warnings"])
