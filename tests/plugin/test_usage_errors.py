"""Bad input: one sentence that names the option or file, exit status 4, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Judge = Callable[..., pytest.RunResult]
Refuse = Callable[..., None]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ocr-model=raeder"], ["--ocr-model raeder", "did you mean reader"]),
        (["--ocr-model=reader", "--ocr-mode=int9"], ["--ocr-mode int9", "int8"]),
        (["--ocr-model=reader", "--ocr-route=pak"], ["--ocr-route pak", "did you mean pack"]),
        (["--ocr-model=reader", "--ocr-check=txet"], ["--ocr-check txet", "did you mean text"]),
        (["--ocr-model=reader", "--ocr-toolchain=modren"], ["--ocr-toolchain modren", "modern"]),
        (["--ocr-model=reader", "--ocr-device=phone"], ["--ocr-device phone", "device profile"]),
        (["--ocr-model=reader", "--ocr-samples=none"], ["--ocr-samples none: expected a whole number"]),
        (["--ocr-model=reader", "--ocr-samples=0"], ["--ocr-samples 0", "at least 1"]),
        (["--ocr-model=reader", "--ocr-threads=0"], ["--ocr-threads 0", "at least 1"]),
        (["--ocr-model=reader", "--ocr-timeout=-1"], ["--ocr-timeout -1"]),
        (["--ocr-model=reader", "--ocr-max-age=soon"], ["--ocr-max-age soon"]),
        (["--ocr-model=reader", "--ocr-images=nowhere"], ["nowhere", "does not exist"]),
        (["--ocr-model=reader", "--ocr-weights=lost.npz"], ["--ocr-weights lost.npz"]),
        (["--ocr-model=reader", "--ocr-report=run.doc"], ["--ocr-report", "'.doc'", ".json"]),
        (["--ocr-model=reader", "--ocr-report=no/run.json"], ["--ocr-report", "does not exist"]),
        (["ocr::test_conformance[nonsense]"], ["is no case"]),
        (["--ocr-model=reader", "--ocr-route=tf-lite"], ["there is nothing to judge", "--ocr-route tf-lite"]),
        (["--ocr-route=tf-lite"], ["there is nothing to judge", "--ocr-route tf-lite"]),
        (["--ocr-model=reader", "--ocr-artifacts=pytest.ini"], ["--ocr-artifacts", "expected a folder"]),
        (["--ocr-model=reader", "--ocr-report=models.json"], ["--ocr-report", "this is a folder"]),
        (["--ocr-model=onnx-file:lost.onnx"], ["--ocr-model onnx-file:lost.onnx", "there is no ONNX file"]),
        (["--ocr-model=saved-model:models"], ["--ocr-model saved-model:models", "there is no SavedModel"]),
        (["--ocr-model=onnx-file:pytest.ini"], ["expected a contract beside it, pytest.ini.toml or contract.toml"]),
        (["--ocr-model=easyocr:wide"], ["--ocr-model easyocr:wide", "there is no such model"]),
    ],
)  # fmt: skip
def test_options(refuse: Refuse, downstream: Path, arguments: list[str], words: list[str]) -> None:
    (downstream / "models.json").mkdir()
    refuse(arguments, *words)


def test_an_image_that_does_not_decode(refuse: Refuse, downstream: Path) -> None:
    (downstream / "models" / "reader" / "squares" / "3.png").write_bytes(b"no picture")
    refuse(["--ocr-model=reader"], "3.png", "does not decode")


def test_an_empty_calibration_set(refuse: Refuse, downstream: Path) -> None:
    (downstream / "empty").mkdir()
    refuse(["--ocr-model=reader", "--ocr-calibration=empty"], "empty", "calibration")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("summary =", "sumary =", ["model.sumary", "did you mean summary"]),
        ("agreement = 1.0", "agreement = 2.0", ["text.agreement", "less than or equal to 1"]),
        ("schema = 1", "schema = = 1", ["contract.toml", "is no TOML"]),
        ('routes = ["pack"]', 'routes = ["unpack"]', ["there is no route 'unpack'"]),
        ("model.py:Reader", "modle.py:Reader", ["modle.py"]),
    ],
)
def test_contracts(refuse: Refuse, downstream: Path, before: str, after: str, words: list[str]) -> None:
    contract = downstream / "models" / "reader" / "contract.toml"
    text = contract.read_text()
    assert before in text
    contract.write_text(text.replace(before, after, 1))
    refuse(["--ocr-model=reader"], "contract.toml", *words)


def test_a_reexported_suite_without_models(refuse: Refuse, downstream: Path) -> None:
    (downstream / "pytest.ini").write_text("[pytest]\n")
    refuse([], "ocr_model_paths")


def test_weights_that_the_adapter_refuses_are_a_failed_verdict(judge: Judge, downstream: Path) -> None:
    (downstream / "other.bin").write_bytes(b"something")
    result = judge("-q", "--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=text", "--ocr-weights=other.bin")
    result.assert_outcomes(failed=1)
    assert "other.bin holds no weights of this model" in " ".join(result.outlines)
    assert "Traceback" not in result.stdout.str()


def test_a_cache_that_cannot_be_written(judge: Judge, downstream: Path) -> None:
    (downstream / "file").write_text("")
    result = judge(
        "-q", "--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=text", cache=downstream / "file" / "x"
    )
    assert result.ret != 0
    assert "Traceback" not in result.stdout.str()
    assert "--ocr-cache" in result.stdout.str() + result.stderr.str()
