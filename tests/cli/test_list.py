"""`list`, and a reader that goes away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .conftest import Captured, own, run


def test_list_shows_models_of_a_folder(capsys: Captured, downstream: Path) -> None:
    assert run("list", *own(downstream)) == 0
    printed = capsys.readouterr().out
    for word in ("reader:faulty", "on request", "pack", "captcha-ocr", "full-int8", "repeatability", "tf215"):
        assert word in printed


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m ocr_conformance list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
