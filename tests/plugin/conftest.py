"""A downstream repository that is run in a process of its own, with evidence shared between tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ocr_conformance.conformance  # before pytester remembers which modules were loaded: two copies of a class differ
import ocr_conformance.report.listing
import ocr_conformance.report.markdown
import ocr_conformance.report.terminal  # noqa: F401


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
        return pytester.run(
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--ocr-cache={cache or evidence}", *arguments
        )

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
