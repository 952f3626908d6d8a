"""The built-in models, judged for real: needs the frameworks, and says so where they are missing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 1500


@dataclass(frozen=True)
class Run:
    """What a run printed, how it ended and its record."""

    status: int
    text: str
    record: dict[str, Any]

    def check(self, case: str, name: str) -> dict[str, Any]:
        """The result of a check; the case's toolchain need not be named."""
        (found,) = (known for key, known in self.record["cases"].items() if key.startswith(f"{case}@"))
        return found["checks"][name]  # type: ignore[no-any-return]

    def value(self, case: str, check: str, name: str) -> float:
        """A measured value of a check."""
        values = {each["name"]: each["measured"] for each in self.check(case, check)["values"]}
        return values[name]  # type: ignore[no-any-return]


@pytest.fixture
def judge(evidence: Path, tmp_path: Path) -> Callable[..., Run]:
    """Run ``pytest --ocr-model ...`` from an empty directory."""
    for module in ("tensorflow", "keras"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: the built-in models are judged in tox's `modern` and `tf215`")

    def run(*arguments: str) -> Run:
        report = tmp_path / "run.json"
        report.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:hypothesispytest",  # it imports hypothesis at the end of every run
            "--tb=short",
            f"--ocr-cache={evidence}",
            f"--ocr-report={report}",
        ]
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        text = done.stdout + done.stderr
        assert report.exists(), text
        return Run(done.returncode, text, json.loads(report.read_text()))

    return run


@pytest.fixture
def keras3() -> None:
    """Skip where ``keras`` is Keras 2."""
    from importlib import metadata

    if importlib.util.find_spec("keras") is not None and metadata.version("keras").startswith("2."):
        pytest.skip("this environment's keras is Keras 2: there is no Keras 3 to convert")


@pytest.fixture
def keras_ocr() -> None:
    """Skip where keras-ocr is missing."""
    if importlib.util.find_spec("keras_ocr") is None:
        pytest.skip("keras-ocr is not installed")
