"""What several test files need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """A file or folder of ``../shared/data``, which is no part of the project.

    Where it is missing the test is skipped; with ``OCR_REQUIRE_SHARED=1`` (as in `.ci/run`) it fails.
    """

    def find(name: str) -> Path:
        path = CHECKOUT.parent / "shared" / "data" / name
        if path.exists():
            return path
        if os.environ.get("OCR_REQUIRE_SHARED") == "1":
            pytest.fail(f"OCR_REQUIRE_SHARED=1, and there is no {path}")
        pytest.skip(f"no {path}: the test needs data that are no part of the project")

    return find


@pytest.fixture
def run_job(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a job function in a child process: ``run_job("package.module:function", params, inputs, out)``.

    Returns its result as the worker writes it, ``{"ok": true, "facts": ...}`` or ``{"ok": false, "type", "message"}``,
    with the ``stage`` it ended in. The frameworks it imports stay out of the process that runs pytest.
    """

    def run(
        function: str, params: dict[str, Any] | None = None, inputs: dict[str, Path] | None = None, out: Path | None = None
    ) -> dict[str, Any]:
        folder = out or tmp_path / "job"
        folder.mkdir(exist_ok=True)
        (folder / ".result.json").unlink(missing_ok=True)
        description = folder / ".job.json"
        places = {name: str(path) for name, path in (inputs or {}).items()}
        description.write_text(
            json.dumps({"function": function, "params": params or {}, "inputs": places, "out": str(folder)})
        )
        done = subprocess.run(
            [sys.executable, "-m", "ocr_conformance.worker", "once", str(description)],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (folder / ".result.json").exists(), done.stderr
        result: dict[str, Any] = json.loads((folder / ".result.json").read_text())
        return {**result, "stage": (folder / ".stage").read_text(), "stderr": done.stderr}

    return run
