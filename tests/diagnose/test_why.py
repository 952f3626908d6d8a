"""Under a check that fails a line says which op did it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import CHECKOUT, Base


@pytest.fixture
def strict(base: Base, evidence: Path, tmp_path: Path) -> Callable[..., str]:
    """Judge captcha-ocr, under another name and with a promise that no 8-bit file keeps; what pytest prints."""
    folder = tmp_path / "models" / "strict"
    shutil.copytree(CHECKOUT / "models" / "captcha-ocr", folder, ignore=shutil.ignore_patterns("training", "README.md"))
    contract = (folder / "contract.toml").read_text().replace('name = "captcha-ocr"', 'name = "strict"')
    contract = contract.replace('"../../fixtures', f'"{CHECKOUT}/fixtures')
    promise = '\n[[promise]]\nmode = "dynamic-range"\ntensors = { sqnr_db = 150 }\nbecause = "a test"\n'
    (folder / "contract.toml").write_text(contract + promise)

    def run(*more: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest",
                   "-o", f"ocr_model_paths={folder.parent}",
                   "--ocr-model=strict:tf-keras", "--ocr-route=tf-lite", "--ocr-mode=dynamic-range",
                   "--ocr-check=tensors", "--ocr-samples=4", f"--ocr-cache={evidence}", *more]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return " ".join(done.stdout.split())

    return run


def test_a_failing_check_says_why(strict: Callable[..., str]) -> None:
    said = strict()
    assert "sqnr_db" in said
    assert "why: no single op is to blame" in said or "why: the first error is made in op" in said
    assert "(ocr-conformance explain strict:tf-keras/tf-lite/dynamic-range@" in said


def test_unless_it_is_told_not_to(strict: Callable[..., str]) -> None:
    assert "why:" not in strict("--ocr-no-explain")
