"""A downstream repository that is run in a process of its own, with evidence shared between tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ocr_conformance.conformance  # before pytester remembers which modules were loaded: two copies of a class differ
import ocr_conformance.report.listing
import ocr_conformance.report.markdown
import ocr_conformance.report.terminal  # noqa: F401

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""Hypothesis's plugin imports hypothesis at the end of every run, which takes as long as the run of a toy."""


@pytest.fixture(scope="session")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here: what one has converted the next finds."""
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture
def judge(
    downstream: Path, evidence: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Run pytest in the downstream repository, in a process of its own."""
    (evidence.parent / "tmp").mkdir(exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(evidence.parent / "tmp"))  # slots of its own: other runs are none of its business
    monkeypatch.chdir(downstream)
    pytester._path = downstream

    def run(*arguments: str | Path, cache: Path | None = None) -> pytest.RunResult:
        return pytester.run(*PYTEST, f"--ocr-cache={cache or evidence}", *arguments)

    return run


def without_times(document: Any) -> Any:
    """A record, or a part of one, without what two identical runs differ in: see `ocr_conformance.report.schema`."""
    if isinstance(document, list):
        return [without_times(each) for each in document]
    if not isinstance(document, dict):
        return document
    if document.get("check") in ("latency", "memory", "conversion"):  # their values, and what is said of them
        document = {name: document[name] for name in ("check", "verdict")}
    times = ("started", "seconds", "cpu_seconds", "peak_bytes", "seen", "jobs_run")
    return {name: without_times(each) for name, each in document.items() if name not in times}


DETECTORS = ("-o", "ocr_model_paths=models detectors")
"""Options: the repository's detectors are judged, too."""


@dataclass(frozen=True)
class Run:
    """A run of which several tests ask: how it ended, what it printed, where, and its record."""

    status: int
    text: str
    folder: Path
    record: dict[str, Any]

    @property
    def run(self) -> dict[str, Any]:
        """Its record's only run: models, toolchains, how many jobs were run."""
        (run,) = self.record["runs"]
        return run  # type: ignore[no-any-return]

    def case(self, name: str) -> dict[str, Any]:
        """The checks of a case; its toolchain need not be named."""
        (found,) = (known["checks"] for key, known in self.record["cases"].items() if key.startswith(f"{name}@"))
        return found  # type: ignore[no-any-return]

    def value(self, case: str, check: str, name: str) -> float:
        """A measured value."""
        values = {each["name"]: each["measured"] for each in self.case(case)[check]["values"]}
        return values[name]  # type: ignore[no-any-return]

    def boxes(self, case: str, side: str = "artifact") -> dict[str, Any]:
        """What is found in each image, by its name."""
        images = (self.case(case).get("boxes") or self.case(case)["pipeline"])["data"]["images"]
        return {each["image"]: each[side] for each in images}


@pytest.fixture(scope="session")
def run_detectors(
    make_repository: Callable[[Path], Path], evidence: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """Run pytest in a new downstream repository: ``run_detectors(*arguments, prepare=function of its folder)``."""

    def run(*arguments: str, prepare: Callable[[Path], object] = lambda folder: None) -> Run:
        folder = make_repository(tmp_path_factory.mktemp("detectors") / "downstream")
        prepare(folder)
        (evidence.parent / "tmp").mkdir(exist_ok=True)
        done = subprocess.run(
            [
                *(*PYTEST, "-q", f"--ocr-cache={evidence}"),
                *(*DETECTORS, "--ocr-report=run.json", *arguments),
            ],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(evidence.parent / "tmp")},
            capture_output=True,
            text=True,
            check=False,
        )
        report = folder / "run.json"
        record = json.loads(report.read_text()) if report.exists() else {}
        return Run(done.returncode, " ".join((done.stdout + done.stderr).split()), folder, record)

    return run


@pytest.fixture
def refuse(
    downstream: Path, evidence: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Expect that a run ends with a usage error that has these words, and no traceback. In this process: quick."""
    monkeypatch.chdir(downstream)
    pytester._path = downstream

    def run(arguments: list[str], *words: str) -> None:
        plugins = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest")
        result = pytester.runpytest_inprocess(*plugins, f"--ocr-cache={evidence}", *arguments)
        text = result.stdout.str() + result.stderr.str()
        assert result.ret == pytest.ExitCode.USAGE_ERROR, text
        assert "Traceback" not in text
        assert "INTERNALERROR" not in text
        flat = " ".join(text.split())
        for word in words:
            assert word in flat

    return run
