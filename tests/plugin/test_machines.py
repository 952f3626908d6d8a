"""A run over several machines: xdist's socket workers, each in an environment, a cache and a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
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

TWO = (
    *("--ocr-model=reader", "--ocr-model=reader:garbage", "--ocr-mode=full-int8", "--ocr-no-explain"),
    *("--ocr-check=conversion", "--ocr-check=text"),
)
"""Two models that have no job in common."""


# As docs/many-machines.md has them; address, folder and model are put in.
SERVE = "python -m execnet.script.socketserver 127.0.0.1:8888"
JUDGE = "pytest --ocr-model=reader --tx socket=127.0.0.1:8888//chdir=/srv/own --dist=loadgroup --max-worker-restart=0"


def worker_options(command: str, port: int, folder: Path) -> list[str]:
    """What makes a worker of a command: the words of its ``--tx``."""
    words = shlex.split(command.replace("127.0.0.1:8888", f"127.0.0.1:{port}").replace("/srv/own", str(folder)))
    return words[words.index("--tx") :][:2]


@dataclass(frozen=True)
class Machine:
    """What stands for a machine: a virtual environment in which execnet's socket server waits for a controller."""

    folder: Path
    server: subprocess.Popen[str]
    port: int

    @property
    def options(self) -> list[str]:
        """What makes it a worker: it has the repository in a place of its own."""
        return worker_options(JUDGE, self.port, self.folder / "repository")

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
                [python, "-u", *shlex.split(SERVE.replace(":8888", ":0"))[1:]],
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


Control = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def repository(make_repository: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as the controller has it."""
    return make_repository(tmp_path_factory.mktemp("controller") / "repository")


@pytest.fixture(scope="module")
def control(repository: Path) -> Control:
    """Start a run in it, whose record becomes ``run.json``."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        own = repository.parent
        (own / "tmp").mkdir(exist_ok=True)
        (repository / "run.json").unlink(missing_ok=True)
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
                *("--ocr-report=run.json", *arguments),
            ],
            cwd=repository,
            env={**os.environ, "TMPDIR": str(own / "tmp"), "XDG_CACHE_HOME": str(own / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture(scope="module")
def run(control: Control, repository: Path) -> Callable[..., Run]:
    """Run to the end."""
    return lambda *arguments: finish(control(*arguments), repository)


@pytest.fixture(scope="module")
def alone(run: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same cases, judged by one process."""
    found = run(*TWO, f"--ocr-cache={tmp_path_factory.mktemp('alone')}")
    assert found.status == 0, found.text
    return found


def finish(process: subprocess.Popen[str], repository: Path) -> Run:
    """Wait for a run."""
    text, _ = process.communicate()
    report = repository / "run.json"
    return Run(process.returncode, text, json.loads(report.read_text()) if report.exists() else {})


def test_groups_run_no_hop_twice(
    machine: Callable[..., Machine], run: Callable[..., Run], alone: Run, repository: Path
) -> None:
    first, second = machine("first"), machine("second")
    both = run(*TWO, *first.options, *second.options, "--dist=loadgroup")
    assert both.status == 0, both.text
    assert both.verdicts == alone.verdicts
    assert both.run["jobs_run"] == alone.run["jobs_run"]
    assert [len(list((each.cache / "entries").glob("*/*"))) for each in (first, second)] == [
        alone.run["jobs_run"] / 2
    ] * 2, "each has judged a model, with a cache of its own"
    assert not (repository.parent / "cache").exists(), "the controller ran nothing"
    assert set(both.run["environment"]["workers"]) == {"gw0", "gw1"}
    assert both.run["toolchains"] == alone.run["toolchains"]


def test_a_shared_cache_makes_any_distribution_right(
    machine: Callable[..., Machine], run: Callable[..., Run], alone: Run, tmp_path: Path
) -> None:
    workers = (*machine("first").options, *machine("second").options)
    both = run(*TWO, *workers, "--dist=load", f"--ocr-cache={tmp_path / 'shared'}")
    assert both.status == 0, both.text
    assert both.verdicts == alone.verdicts
    assert both.run["jobs_run"] == alone.run["jobs_run"]
    assert len(list((tmp_path / "shared" / "entries").glob("*/*"))) == alone.run["jobs_run"]


def test_a_worker_that_goes_away_is_a_failure_and_said(
    machine: Callable[..., Machine], control: Control, repository: Path
) -> None:
    lost = machine("lost")
    process = control("--ocr-model=reader:slow", *lost.options, *shlex.split(JUDGE)[-2:])
    deadline = time.monotonic() + 60
    while not list(lost.folder.glob("tmp/*/slot-*.json")):
        assert time.monotonic() < deadline, process.poll()
        time.sleep(0.05)
    lost.server.kill()
    run = finish(process, repository)
    assert run.status == 1, run.text
    assert "INTERNALERROR" not in run.text
    assert "worker 'gw0' crashed while running" in run.text
    (case,) = run.record["cases"].values()
    (check,) = case["checks"].values()
    assert check["verdict"] == "failed"
    assert "worker 'gw0' crashed" in check["message"]
    assert any(line.startswith("worker gw0 (") and "went away" in line for line in run.run["warnings"])
