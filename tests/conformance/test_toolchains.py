"""Two toolchains in one run: jobs in another interpreter give verdicts in the same matrix."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run

Judge = Callable[..., Run]
TF215 = os.environ.get("OCR_TF215_PYTHON", "")


@pytest.mark.usefixtures("keras3")
@pytest.mark.skipif(not Path(TF215).is_file(), reason="OCR_TF215_PYTHON names no interpreter of a tf215 environment")
def test_one_matrix_over_two_toolchains(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where created toolchains are known
    adopt = [sys.executable, "-m", "ocr_conformance", "toolchain", "create", "tf215", "--python", TF215]
    subprocess.run(adopt, check=True, capture_output=True)
    run = judge(
        "--ocr-model=captcha-ocr:tf-keras", "--ocr-route=tf-lite", "--ocr-mode=float32", "--ocr-toolchain=here",
        "--ocr-toolchain=tf215", "--ocr-check=text", "--ocr-check=tensors", "--ocr-check=repeatability",
    )  # fmt: skip
    assert run.status == 0, run.text
    assert {case.rpartition("@")[2] for case in run.record["cases"]} == {"modern", "tf215"}
    leak = run.record["cases"]["captcha-ocr:tf-keras/tf-lite/float32@tf215"]["checks"]["repeatability"]
    assert leak["verdict"] == "unsupported"
    assert "tensorflow.lite 2.15" in leak["message"]


@pytest.mark.usefixtures("keras3")
def test_a_missing_toolchain_is_skipped_with_its_command(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    run = judge("--ocr-model=captcha-ocr:tf-keras", "--ocr-mode=float32", "--ocr-toolchain=tf215", "--ocr-check=text")
    assert run.status == 5  # nothing was judged
    assert "ocr-conformance toolchain create tf215" in " ".join(run.text.split())
