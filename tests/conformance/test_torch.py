"""PyTorch recognizers: real weights on real words, a conversion that is wrong, three toolchains in one matrix."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run

Judge = Callable[..., Run]

OTHERS = {"tf215": os.environ.get("OCR_TF215_PYTHON", ""), "onnx2tf": os.environ.get("OCR_ONNX2TF_PYTHON", "")}
SMALL = "deep-text-recognition:None-VGG-None-CTC"
CHECKS = ("--ocr-check=conversion", "--ocr-check=tensors", "--ocr-check=text")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="litert-torch is not installed"
)


def test_easyocr_reads_real_words_in_8_bits(judge: Judge, shared: Callable[[str], Path]) -> None:
    run = judge(
        "--ocr-model=easyocr", "--ocr-route=litert-torch-scoped", "--ocr-mode=float32", "--ocr-mode=dynamic-range",
        "--ocr-mode=int8", f"--ocr-images={shared('words/represent_data')}", *CHECKS, "--ocr-check=accuracy",
        "--ocr-check=mode",
    )  # fmt: skip
    assert run.status == 0, run.text
    for mode, agreement in (("float32", 1.0), ("dynamic-range", 0.97), ("int8", 0.97)):
        case = f"easyocr/litert-torch-scoped/{mode}"
        assert abs(run.value(case, "accuracy", "source_accuracy") - 0.95) <= 0.01
        assert run.value(case, "accuracy", "accuracy") >= 0.94
        assert run.value(case, "text", "agreement") >= agreement
    assert run.record["runs"][0]["models"]["easyocr"]["weights"]["name"] == "english_g2"


def test_the_attention_decoder_that_litert_torch_spoils_is_caught_and_cured(judge: Judge) -> None:
    model = "deep-text-recognition:None-VGG-None-Attn"
    run = judge(
        f"--ocr-model={model}", "--ocr-route=litert-torch", "--ocr-route=litert-torch-portable", "--ocr-mode=float32",
        *CHECKS,
    )  # fmt: skip
    wrong, right = f"{model}/litert-torch/float32", f"{model}/litert-torch-portable/float32"
    assert run.check(wrong, "conversion")["verdict"] == "passed"  # it converts, and says nothing
    for check in ("tensors", "text"):
        assert run.check(wrong, check)["verdict"] == "unsupported"
        assert "softmax" in run.check(wrong, check)["message"]
        assert run.check(right, check)["verdict"] == "passed"
    assert run.value(wrong, "tensors", "max_abs") > 0.1
    assert run.value(right, "tensors", "max_abs") < 1e-4
    assert run.status == 0, run.text


def test_a_users_file_that_does_not_fit_is_one_sentence(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(b"nonsense")
    run = judge(
        f"--ocr-model={SMALL}", "--ocr-route=litert-torch", "--ocr-mode=float32", "--ocr-check=text",
        f"--ocr-weights={tmp_path}/mine.pth",
    )  # fmt: skip
    assert run.status == 1
    assert "weights mine.pth: no file of torch.save" in " ".join(run.text.split())
    assert "Traceback" not in run.text


@pytest.mark.skipif(
    not all(Path(python).is_file() for python in OTHERS.values()),
    reason="OCR_TF215_PYTHON and OCR_ONNX2TF_PYTHON name no interpreters",
)
def test_three_toolchains_in_one_matrix(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where created toolchains are known
    for name, python in OTHERS.items():
        adopt = [sys.executable, "-m", "ocr_conformance", "toolchain", "create", name, "--python", python]
        subprocess.run(adopt, check=True, capture_output=True)
    selected = (
        f"--ocr-model={SMALL}", "--ocr-route=litert-torch", "--ocr-route=onnx-tf", "--ocr-route=onnx2tf",
        "--ocr-mode=float32", "--ocr-mode=dynamic-range", "--ocr-check=conversion", "--ocr-check=tensors",
    )  # fmt: skip
    run = judge(*selected)
    assert run.status == 0, run.text
    assert {case.rpartition("@")[2] for case in run.record["cases"]} == {"modern", "tf215", "onnx2tf"}
    verdicts = {case: known["verdict"] for case, known in run.record["cases"].items()}
    assert set(verdicts.values()) == {"passed"}
    hops = "\n".join(run.record["cases"][f"{SMALL}/onnx-tf/float32@tf215"]["checks"]["tensors"]["details"])
    for hop in ("source -> onnx(torchscript)", "onnx(torchscript) -> saved-model(onnx-tf)", "-> tf-lite(float32)"):
        assert hop in hops

    parallel = judge("-n", "2", *selected)
    assert {case: known["verdict"] for case, known in parallel.record["cases"].items()} == verdicts
    assert parallel.record["runs"][0]["jobs_run"] == 0


def test_routes_of_missing_toolchains_are_skipped_with_their_command(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    run = judge(f"--ocr-model={SMALL}", "--ocr-route=onnx*", "--ocr-mode=float32", "--ocr-check=text")
    assert run.status == 5  # nothing was judged
    text = " ".join(run.text.split())
    for name in ("tf215", "onnx2tf"):
        assert f"ocr-conformance toolchain create {name}" in text
