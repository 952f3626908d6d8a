"""Run the script of a repro as somebody does who has nothing of ours."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocr_conformance.job import Job

SCRIPT = "repro.py"
_LINES, _CHARACTERS = 40, 300
_NOISE = re.compile(r"I\d{4} |Extension modules: |WARNING: All log messages before absl")
"""Lines that say nothing of how a converter ended."""


def run(job: Job) -> dict[str, Any]:
    """Run a copy of a folder's script by this toolchain's interpreter, isolated (``-I``).

    ``-X faulthandler`` says where a signal took it.

    Params: ``folder``.

    Returns:
        ``status``: of the process, negative where a signal took it; ``output``: its last lines, errors among them,
        without paths of this machine; ``python``: its version.
    """
    job.stage("convert")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["COLUMNS"] = "1000"  # a path that a converter's log breaks in two is not found below
    with tempfile.TemporaryDirectory() as aside:
        copy = Path(aside) / "repro"
        shutil.copytree(job.params["folder"], copy)
        with (Path(aside) / "output").open("w+b") as output:
            command = [sys.executable, "-I", "-X", "faulthandler", SCRIPT]
            done = subprocess.run(
                command, cwd=copy, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
            )
            output.seek(0)
            text = output.read().decode(errors="replace")
        text = text.replace(f"{copy}/", "").replace(sys.prefix, "$VIRTUAL_ENV")
    lines = [line.rstrip()[:_CHARACTERS] for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    return {"status": done.returncode, "output": lines[-_LINES:], "python": platform.python_version()}
