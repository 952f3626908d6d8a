"""A downstream repository that is run in a process of its own, with evidence shared between tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here: what one has converted the next finds."""
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture
def judge(
    downstream: Path, evidence: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Run pytest in the downstream repository; without xdist unless asked for."""
    monkeypatch.chdir(downstream)
    pytester._path = downstream

    def run(*arguments: str | Path, cache: Path | None = None) -> pytest.RunResult:
        return pytester.run(
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--ocr-cache={cache or evidence}", *arguments
        )

    return run
