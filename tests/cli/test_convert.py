"""`convert` writes artifacts with what an app must know, says what did not convert, and leaves nothing half-written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance import manifest

from .conftest import Captured, assert_refused, own, run, run_json


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here."""
    return tmp_path_factory.mktemp("evidence")


@pytest.fixture
def asked(downstream: Path, cache: Path, tmp_path: Path) -> list[str | Path]:
    return [*own(downstream), "--cache", cache, "--output", tmp_path / "phone"]


def written(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix().partition("@")[0] for path in folder.rglob("*.*") if path.is_file()
    )


def the_manifest(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("*.json")
    known: dict[str, Any] = json.loads(path.read_text())
    return known


def test_artifacts_and_manifests(capsys: Captured, asked: list[str | Path], tmp_path: Path) -> None:
    assert run("convert", "reader", "--mode=float32", "--mode=*int8", *asked) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.partition("@")[0] for line in lines] == [
        f"reader/pack/{mode}" for mode in ("float32", "int8", "full-int8")
    ]
    assert all(": wrote " in line for line in lines)
    assert last.startswith("3 of 3 cases written to ")
    modes = ("float32", "full-int8", "int8")
    assert written(tmp_path / "phone") == [f"reader/pack/{mode}" for mode in modes for _ in (".bin", ".json")]


def test_a_manifest_says_how_the_file_is_fed_and_read(
    capsys: Captured, asked: list[str | Path], tmp_path: Path, downstream: Path
) -> None:
    readme = downstream / "models" / "reader" / "README.md"
    readme.write_text("# reader\n\n## What the phone must feed\n\nGray squares.\n\n### Size\n\n4.\n\n## More\n\nNo.\n")
    found = run_json(capsys, "convert", "reader", "--mode=int8", *asked)
    (case,) = found["cases"]
    (file,) = map(Path, case["files"])
    known = the_manifest(tmp_path / "phone")
    assert (case["verdict"], case["case"]) == ("passed", known["case"])
    assert known["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert known["bytes"] == file.stat().st_size
    assert known["model"]["name"] == "reader"
    assert known["inputs"] == [
        {
            "name": "image",
            "tensor": "image",
            "model": "image",
            "shape": [1, 4, 20, 1],
            "dtype": "float32",
            "quantization": None,
            "low": 0.0,
            "high": 1.0,
        }
    ]
    assert [(each["name"], each["shape"]) for each in known["outputs"]] == [("probabilities", [1, 5, 5])]
    # The reader's decoding merges nothing, and its last class is no character.
    assert known["reading"] == {
        "alphabet": "abcd", "classes": ["a", "b", "c", "d", ""], "merges_repeats": False, "ends": [],
    }  # fmt: skip
    assert known["runtime"]["minimum"] == "1.0"
    assert known["runtime"]["keeps_state"] is False
    assert [op["name"] for op in known["runtime"]["ops"]] == ["DISTANCE"]
    assert known["feeding"] == "Gray squares.\n\n### Size\n\n4."
    assert [hop["name"] for hop in known["hops"]] == ["pack(int8)"]
    assert "calibration" not in known  # this converter looks at no images


def test_a_failure_is_a_line_and_leaves_nothing(capsys: Captured, asked: list[str | Path], tmp_path: Path) -> None:
    modes = ("--mode=float32", "--mode=float16", "--mode=full-int8")
    assert run("convert", "reader:faulty", *modes, *asked) == 1
    float32, float16, full_int8, last = capsys.readouterr().out.splitlines()
    assert "reader:faulty/pack/float32@" in float32 and ": wrote " in float32
    assert "unsupported: the converter crashes" in float16 and "https://example.org/issues/1" in float16
    assert ": failed: pack(full-int8) raised ValueError: 'toy.Relu6' op" in full_int8
    assert "stage convert" in full_int8
    assert last.startswith("1 of 3 cases written")
    assert written(tmp_path / "phone") == ["reader.faulty/pack/float32"] * 2


def test_a_folder_that_cannot_be_written_to(capsys: Captured, asked: list[str | Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("convert", "reader", "--mode=float32", *asked, f"--output={tmp_path / 'file' / 'below'}") == 1
    line, last = capsys.readouterr().out.splitlines()
    assert f": failed: --output {tmp_path / 'file' / 'below'}: cannot write float32@" in line
    assert last.startswith("0 of 1 cases written")


def test_what_is_unsupported_is_no_failure_but_nothing_at_all_is(capsys: Captured, asked: list[str | Path]) -> None:
    assert run("convert", "reader:faulty", "--mode=float32", "--mode=float16", *asked) == 0
    assert run("convert", "reader:faulty", "--mode=float16", *asked) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 of 1 cases written")


def test_what_the_contract_says_of_an_artifact_goes_with_it(
    capsys: Captured, asked: list[str | Path], tmp_path: Path
) -> None:
    assert run("convert", "reader:garbage", "--mode=int8", *asked) == 0
    printed = capsys.readouterr().out
    assert "known not to hold: tensors and text and accuracy: converts, runs, reads garbage" in printed
    (claim,) = the_manifest(tmp_path / "phone")["known"]
    assert claim["checks"] == ["tensors", "text", "accuracy"]


def test_a_pipeline_is_two_files(capsys: Captured, downstream: Path, cache: Path, tmp_path: Path) -> None:
    places = ["--model-path", downstream / "detectors", *own(downstream), "--cache", cache]
    found = run_json(
        capsys, "convert", "pipeline:finder+reader", "--mode=int8", "--output", tmp_path / "phone", *places
    )
    (case,) = found["cases"]
    assert [Path(file).relative_to(tmp_path / "phone").parts[0] for file in case["files"]] == ["finder", "reader"]
    kinds = {json.loads(path.read_text())["model"]["kind"] for path in (tmp_path / "phone").rglob("*.json")}
    assert kinds == {"detector", "recognizer"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["raeder"], ["--model raeder", "did you mean reader"]),
        (["reader", "--mode=int9"], ["--mode int9", "did you mean int8"]),
        (["reader", "--route=tf-lite"], ["reader: there is no such case", "ocr-conformance list"]),
        (["reader", "--samples=0"], ["--samples", "at least 1"]),
        (["reader", "--output=FILE"], ["--output", "expected a folder, this is a file"]),
    ],
)
def test_mistakes(
    capsys: Captured, asked: list[str | Path], tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    given = [text.replace("FILE", str(tmp_path / "file")) for text in arguments]
    assert_refused(capsys, ["convert", *asked, *given], *words)


def test_what_cannot_be_written_leaves_no_part(tmp_path: Path) -> None:
    product = tmp_path / "product"
    product.write_bytes(b"abc")
    with pytest.raises(TypeError):
        manifest.write(tmp_path / "out" / "a.tflite", product, {"no": object()})
    assert list((tmp_path / "out").iterdir()) == []
