"""Bad input: one sentence that names the option or file, exit status 4, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from .conftest import DETECTORS

Judge = Callable[..., pytest.RunResult]
Refuse = Callable[..., None]


def spoil(model: Path, before: str, after: str) -> None:
    """Change a model's contract in one place."""
    contract = model / "contract.toml"
    text = contract.read_text()
    assert before in text
    contract.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ocr-model=raeder"], ["--ocr-model raeder", "did you mean reader"]),
        (["--ocr-model=reader", "--ocr-mode=int9"], ["--ocr-mode int9", "int8"]),
        (["--ocr-model=reader", "--ocr-route=pak"], ["--ocr-route pak", "did you mean pack"]),
        (["--ocr-model=reader", "--ocr-check=txet"], ["--ocr-check txet", "did you mean text"]),
        (["--ocr-model=reader", "--ocr-toolchain=modren"], ["--ocr-toolchain modren", "modern"]),
        (["--ocr-model=reader", "--ocr-device=phone"], ["--ocr-device phone", "device profile"]),
        (["--ocr-model=reader", "--ocr-device=redmi-k20-pro"], ["pytest does not run on it", "latency import"]),
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pipeline:nonsense+reader"], ["pipeline:nonsense+reader: nonsense: there is no such detector", "finder"]),
        (["pipeline:finder+raeder"], ["raeder: there is no such recognizer; did you mean reader"]),
        (["pipeline:finder.wide+reader"], ["finder.wide: there is no such detector; did you mean finder"]),
        (["pipeline:finder"], ["--ocr-model pipeline:finder: there is no such model"]),
        (["pipeline:reader+finder"], ["reader is a recognizer, expected a detector in this place"]),
        (["pipeline:finder+finder"], ["finder is a detector, expected a recognizer in this place"]),
        (["pipeline:finder+reader", "--ocr-route=pack"], ["there is nothing to judge", "--ocr-route pack"]),
        (["pipeline:finder+reader", "--ocr-route=pack+pak"], ["--ocr-route pak", "did you mean pack"]),
        (["pipeline:finder+reader", "--ocr-route=pack+"], ["--ocr-route : there is no such route"]),
        (["pipeline:finder+reader", "--ocr-route=tf-lite+pack"],
         ["pipeline:finder+reader, route tf-lite+pack: finder has no route 'tf-lite'; it has pack"]),
        (["pipeline:finder+reader", "--ocr-pictures=pytest.ini"], ["--ocr-pictures", "pytest.ini: expected a folder"]),
        (["pipeline:finder+reader", "--ocr-images=nowhere"], ["nowhere", "does not exist", "--ocr-images"]),
        (["pipeline:finder+reader", "--ocr-weights=lost.npz"], ["--ocr-weights lost.npz"]),
        (["finder", "--ocr-route=pack+pack"], ["there is nothing to judge", "--ocr-route pack+pack"]),
        (["finder:wide"], ["--ocr-model finder:wide", "there is no such model"]),
    ],
)  # fmt: skip
def test_detectors_and_pipelines(refuse: Refuse, arguments: list[str], words: list[str]) -> None:
    refuse([*DETECTORS, f"--ocr-model={arguments[0]}", *arguments[1:]], *words)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('twin = "finder"', 'twin = "fidner"', ["contract.toml, model.twin fidner", "did you mean finder"]),
        ('kind = "detector"', 'kind = "detectr"', ["model.kind"]),
        ('adapter = "model.py:Seeker"', "", ["adapter: this key is missing"]),
        ('routes = ["pack"]', "", ["routes are missing"]),
        ('uses = ["finder"]', 'uses = ["fidner"]', ["model.uses: there is no folder", "fidner"]),
        ('kind = "detector"', 'kind = "pipeline"', ["a pipeline has no adapter: its parts have"]),
    ],
)
def test_contracts_of_detectors(refuse: Refuse, downstream: Path, before: str, after: str, words: list[str]) -> None:
    spoil(downstream / "detectors" / "seeker", before, after)
    refuse([*DETECTORS, "--ocr-model=seeker"], "contract.toml", *words)


def test_a_pipeline_whose_contract_has_a_route_of_one_half(refuse: Refuse, downstream: Path) -> None:
    folder = downstream / "detectors" / "chain"
    folder.mkdir()
    (folder / "contract.toml").write_text(
        "schema = 1\n[model]\nname = 'chain'\nkind = 'pipeline'\nframework = 'numpy'\nsummary = 's'\nplain = false\n"
        "[variants.'finder+reader']\nsummary = 's'\nroutes = ['pack']\n"
    )
    refuse([*DETECTORS, "--ocr-model=chain"], "'pack' is no route of a pipeline: expected ROUTE+ROUTE")


@pytest.mark.parametrize("beside", ["", "own"], ids=["no ini file above", "another ini file"])
def test_a_folder_after_a_space_moves_the_root_and_it_is_said(refuse: Refuse, downstream: Path, beside: str) -> None:
    """pytest takes it for a path before it knows the option, and looks for its ini file there."""
    pictures = downstream.parent / "pictures"
    pictures.mkdir()
    Image.new("L", (60, 30), 255).save(pictures / "a.png")
    if beside:
        (pictures / "pytest.ini").write_text("[pytest]\n")
    refuse(
        ["--ocr-model=reader", "--ocr-images", "../pictures"],
        "--ocr-model reader: there is no such model",
        f"read no ini file of {downstream}: write --ocr-OPTION=DIR, with =",
    )


def test_without_a_folder_nothing_is_said_of_the_root(
    refuse: Refuse, downstream: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refuse(["--ocr-model=raeder"], "did you mean reader")
    assert "ini file" not in capfd.readouterr().err


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
    spoil(downstream / "models" / "reader", before, after)
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
