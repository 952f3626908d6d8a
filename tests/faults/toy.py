"""The toy repository of tests/downstream, judged in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FAST = ("--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=conversion", "--ocr-check=text")
"""One case and two checks."""
REFUSED = 4
"""The status of a run that ends before it judges, by a sentence of ours."""


def judge(repository: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run pytest there; its status and all that it printed, white space made one blank."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--ocr-cache={cache(repository)}",
            *arguments,
        ],
        cwd=repository,
        env={**os.environ, "TMPDIR": str(repository.parent), **variables},  # slots of its own
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=300,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def cache(repository: Path) -> Path:
    """Where `judge` keeps its evidence."""
    return repository.parent / "evidence"


def refused(repository: Path, *arguments: str) -> str:
    """What a run says that must end by one sentence, before any job is run."""
    status, text = judge(repository, *arguments)
    assert status == REFUSED, text
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert not list(cache(repository).glob("entries/*/*")), "something was converted"
    return text
