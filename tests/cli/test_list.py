"""`list`, and a reader that goes away."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from .conftest import Captured, own, run, run_json


def test_list_shows_models_of_a_folder(capsys: Captured, downstream: Path) -> None:
    assert run("list", *own(downstream)) == 0
    printed = capsys.readouterr().out
    for word in (
        "reader:faulty",
        "on request",
        "pack",
        "captcha-ocr",
        "full-int8",
        "repeatability",
        "tf215",
        "redmi-k20-pro",
    ):
        assert word in printed


def test_the_list_as_json(capsys: Captured, downstream: Path) -> None:
    found = run_json(capsys, "list", *own(downstream))
    models = {each["model"]: each for each in found["models"]}
    assert (models["reader"]["kind"], models["reader"]["routes"]) == ("recognizer", ["pack"])
    assert (models["reader"]["on_request"], models["reader:faulty"]["on_request"]) == (False, True)
    assert models["reader"]["toolchains"] and models["reader"]["missing"] is None  # numpy is everywhere
    assert found["modes"][0] == "float32"
    assert {"text", "search"} <= {each["check"] for each in found["checks"]}
    (k20,) = found["devices"]
    assert (k20["device"], k20["models"], k20["remote"]) == ("redmi-k20-pro", ["keras-ocr"], True)
    assert found["toolchains"] == run_json(capsys, "toolchain", "list")["toolchains"]
    assert sum(each["here"] for each in found["toolchains"]) == 1
    for each in found["toolchains"]:
        assert (each["python"] is None) == (each["missing"] is not None)


def test_the_version(capsys: Captured) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"pytest-ocr-conformance {metadata.version('pytest-ocr-conformance')}\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m ocr_conformance list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
