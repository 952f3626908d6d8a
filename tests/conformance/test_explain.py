"""Why real cases fail: the ops that were found by hand are found, and the way out works on real words."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import PATIENCE, Run

Judge = Callable[..., Run]
TF215 = os.environ.get("OCR_TF215_PYTHON", "")

needs_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("litert_quantizer") is None, reason="litert-quantizer is not installed"
)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="litert-torch is not installed"
)


@pytest.fixture
def explain(evidence: Path) -> Callable[..., str]:
    """What `ocr-conformance explain` prints, on one line."""

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "ocr_conformance", "explain", *arguments, "--cache", str(evidence)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return " ".join(done.stdout.split())

    return run


@needs_quantizer
@pytest.mark.usefixtures("keras_ocr")
def test_the_ops_that_break_keras_ocr_in_int8(explain: Callable[..., str]) -> None:
    """FACTS of this project, section 8: found by hand, op by op."""
    said = explain("keras-ocr/tf-lite/int8@here")
    assert "the first error is made in op 47, MUL of model_2/lambda_1/mul_2" in said
    assert "only 5 steps for all of it" in said
    said = explain("keras-ocr/litert-quantizer/int8@here")
    assert "the first error is made in op 25, BATCH_MATMUL of model_2/lambda_1/MatMul" in said
    assert "its int8 constant has 350 scales" in said


@needs_quantizer
@pytest.mark.usefixtures("keras_ocr")
def test_what_has_to_stay_float(explain: Callable[..., str], tmp_path: Path) -> None:
    said = explain(
        "keras-ocr/litert-quantizer/int8@here", "--bisect", "--agreement=0.95", f"--recipe={tmp_path / 'recipe.json'}"
    )
    assert "everything quantized: 0.0%" in said
    assert "model_2/lambda_1 (without it 0.0%)" in said  # the STN's grid and sampling
    assert "NO_QUANTIZE" in said
    assert (tmp_path / "recipe.json").exists()


@needs_quantizer
@pytest.mark.usefixtures("keras_ocr")
def test_the_way_out_reads_real_words(judge: Judge, shared: Callable[[str], Path]) -> None:
    run = judge(
        "--ocr-model=keras-ocr", "-k", "not as-shipped", "--ocr-route=litert-quantizer-scoped", "--ocr-mode=int8",
        f"--ocr-images={shared('words/represent_data')}", "--ocr-check=text", "--ocr-check=accuracy",
        "--ocr-check=mode",
    )  # fmt: skip
    assert run.status == 0, run.text
    case = "keras-ocr/litert-quantizer-scoped/int8"
    assert run.value(case, "accuracy", "drop") <= 0.01
    assert run.value(case, "text", "agreement") >= 0.96
    assert run.value(case, "text", "lost") <= 0.01
    assert run.value(case, "mode", "integer_macs") > 0.9


@needs_torch
def test_the_softmax_that_litert_torch_spoils(explain: Callable[..., str]) -> None:
    said = explain("deep-text-recognition:None-VGG-None-Attn/litert-torch/float32@here")
    assert "the artifact goes wrong at softmax.int of Prediction/attention_cell" in said
    assert "scores.softmax(1)" in said
    assert "declared [1, 24, 1] and really [24, 1]" in said
    assert "REDUCE_MAX" in said


@needs_torch
def test_where_nothing_fails_the_worst_are_ranked(explain: Callable[..., str]) -> None:
    said = explain("easyocr/litert-torch/dynamic-range@here")
    assert "no single op is to blame; most is lost in network/" in said
    assert "1 DEPTHWISE_CONV_2D network/FeatureExtraction/ConvNet/1 [1, 64, 320, 32]" in said
    assert "0 of 2 texts change" in said


@needs_torch
@pytest.mark.skipif(not Path(TF215).is_file(), reason="OCR_TF215_PYTHON names no interpreter of a tf215 environment")
def test_onnx_tf_is_looked_into_in_memory(
    explain: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where created toolchains are known
    adopt = [sys.executable, "-m", "ocr_conformance", "toolchain", "create", "tf215", "--python", TF215]
    subprocess.run(adopt, check=True, capture_output=True)
    said = explain("easyocr/onnx-tf/float32@tf215")
    assert "the first node that errs is op 49, LSTM of /SequenceModeling/SequenceModeling.1/rnn/LSTM" in said
