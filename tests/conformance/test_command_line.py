"""The way from a model to a phone: `convert` writes a file that `read` reads, by what its manifest says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import PATIENCE

CAPTCHAS = Path(__file__).parents[2] / "fixtures" / "captcha"
ALPHABET = "2345678bcdefgmnpwxy"


@pytest.mark.usefixtures("keras3", "judge")  # where there is something to convert it with
def test_convert_and_read(evidence: Path, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> Any:
        command = [sys.executable, "-m", "ocr_conformance", *arguments, "--json", "--cache", evidence]
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    converted = run("convert", "captcha-ocr", "--route=tf-lite", "--mode=dynamic-range", "--output=phone")
    made = {Path(each["files"][0]): each for each in converted["cases"]}
    keras3, fused = sorted(made)
    assert keras3.parts[:3] == ("phone", "captcha-ocr", "tf-lite")
    known = json.loads((tmp_path / keras3).with_suffix(".json").read_text())
    assert known["inputs"][0]["shape"] == [1, 200, 50, 1]
    assert (known["inputs"][0]["low"], known["inputs"][0]["high"]) == (0.0, 1.0)
    assert known["outputs"][0]["shape"] == [1, 50, len(ALPHABET) + 1]
    assert known["reading"] == {
        "alphabet": ALPHABET, "classes": [*ALPHABET, ""], "merges_repeats": True, "ends": [],
    }  # fmt: skip
    assert "the **width comes first**" in known["feeding"]
    assert known["toolchain"]["lock_sha256"]
    assert [hop["name"] for hop in known["hops"]] == ["saved-model", "tf-lite(dynamic-range)"]
    assert "tensorflow" in known["hops"][1]["versions"]
    assert "FULLY_CONNECTED" in {op["name"] for op in known["runtime"]["ops"]}
    assert not known["runtime"]["keeps_state"]
    # Fused LSTMs keep theirs, and whoever takes the file is told.
    assert json.loads((tmp_path / fused).with_suffix(".json").read_text())["runtime"]["keeps_state"]
    assert "reset_all_variables()" in made[fused]["known"][0]["why"]

    images = sorted(CAPTCHAS.glob("*.png"))[:4]
    found = run("read", keras3, *images, "--model=captcha-ocr")
    assert [each["text"] for each in found["images"]] == [path.stem for path in images]


@pytest.mark.usefixtures("keras3", "judge")
def test_an_explanation_as_json(evidence: Path) -> None:
    case = "captcha-ocr/tf-lite/float16@here"
    command = [sys.executable, "-m", "ocr_conformance", "explain", case, "--json", "--cache", str(evidence)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["case"].startswith("captcha-ocr/tf-lite/float16@")
