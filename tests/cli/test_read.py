"""`read` says what a file reads in images, by the model's preprocessing and decoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Captured, assert_refused, own, run, run_json

Make = Callable[[str], Path]


def labels(downstream: Path) -> dict[Path, str]:
    """The first three images of the reader, in another order, and what stands in them."""
    folder = downstream / "models" / "reader" / "squares"
    lines = [line.split("\t") for line in (folder / "labels.tsv").read_text().splitlines()[:3]]
    return {folder / file: text for file, text in reversed(lines)}


@pytest.fixture
def places(downstream: Path, tmp_path: Path) -> list[str | Path]:
    return ["--model-path", downstream / "detectors", *own(downstream), "--cache", tmp_path / "c"]


def test_a_recognizer_reads_text(capsys: Captured, artifact: Make, downstream: Path, places: list[str | Path]) -> None:
    file, wanted = artifact("reader/int8"), labels(downstream)
    assert run("read", file, *wanted, "--model=reader", *places) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == f"{file} as reader, on numpy"
    assert lines == [f'{path}  "{text}"' for path, text in wanted.items()]

    found = run_json(capsys, "read", file, *wanted, "--model=reader", *places)
    assert [(each["image"], each["text"]) for each in found["images"]] == [
        (str(path), text) for path, text in wanted.items()
    ]
    assert all(0 < each["margin"] <= 1 for each in found["images"])


def test_it_is_the_file_that_reads_and_the_alphabet_that_is_given(
    capsys: Captured, artifact: Make, downstream: Path, places: list[str | Path]
) -> None:
    image, text = next(iter(labels(downstream).items()))
    garbage = run_json(capsys, "read", artifact("reader:garbage/int8"), image, "--model=reader", *places)
    assert garbage["images"][0]["text"] != text  # its levels stand in the opposite order
    other = run_json(capsys, "read", artifact("reader/int8"), image, "--model=reader", "--alphabet=wxyz", *places)
    assert other["images"][0]["text"] == text.translate(str.maketrans("abcd", "wxyz"))


def test_a_detector_finds_boxes(capsys: Captured, artifact: Make, downstream: Path, places: list[str | Path]) -> None:
    folder = downstream / "detectors" / "finder" / "boards"
    asked = [artifact("finder/float32"), *sorted(folder.glob("*.png")), "--model=finder", *places]
    found = run_json(capsys, "read", *asked)
    truth = [len(json.loads(path.read_text())["words"]) for path in sorted(folder.glob("*.json"))]
    assert [len(each["boxes"]) for each in found["images"]] == truth == [3, 0, 2]
    assert all(len(point) == 2 for each in found["images"] for box in each["boxes"] for point in box)
    assert run("read", *asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in lines[1:] if ".png" in line] == ["3 boxes", "0 boxes", "2 boxes"]
    assert sum(line.startswith("  (") for line in lines) == 5


def test_a_pipeline_is_two_files(capsys: Captured, artifact: Make, downstream: Path, places: list[str | Path]) -> None:
    folder = downstream / "detectors" / "finder" / "boards"
    asked = [artifact("finder/int8"), *sorted(folder.glob("*.png")), "--model=pipeline:finder+reader", *places]
    found = run_json(capsys, "read", *asked, "--recognizer", artifact("reader/int8"))
    truth = [[word["text"] for word in json.loads(path.read_text())["words"]] for path in sorted(folder.glob("*.json"))]
    assert [each["words"] for each in found["images"]] == truth
    assert [len(each["boxes"]) for each in found["images"]] == [len(words) for words in truth]
    assert_refused(capsys, ["read", *asked], "a pipeline is two files", "--recognizer FILE")


def test_a_file_that_does_not_run_is_no_mistake_of_the_user(
    capsys: Captured, junk: Path, downstream: Path, places: list[str | Path]
) -> None:
    image = next(iter(labels(downstream)))
    assert run("read", junk, image, "--model=reader", *places) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "does not bear the identifier TFL3" in printed.err
    found = run_json(capsys, "read", junk, image, "--model=reader", *places, status=1)
    assert (found["file"], found["model"]) == (str(junk), "reader")
    assert "does not bear the identifier TFL3" in found["error"]
    assert found.keys() == {"file", "model", "error"}


@pytest.fixture
def named(junk: Path, downstream: Path) -> dict[str, str]:
    return {"JUNK": str(junk), "IMAGE": str(next(iter(labels(downstream))))}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["JUNK"], ["IMAGE"]),
        (["lost.tflite", "IMAGE"], ["there is no file lost.tflite"]),
        (["JUNK", "JUNK"], ["junk.tflite does not decode"]),
        (["JUNK", "lost.png"], ["the image lost.png does not exist"]),
        (["JUNK", "."], ["the image . is a folder: name the files in it"]),
        (["JUNK", "IMAGE", "--recognizer=JUNK"], ["--recognizer", "reader is no pipeline"]),
        (["JUNK", "IMAGE", "--model=onnx-file:lost.onnx"], ["--model onnx-file:lost.onnx: there is no ONNX file"]),
        (["JUNK", "IMAGE", "--model=raeder"], ["--model raeder", "did you mean reader"]),
        (["JUNK", "IMAGE", "--model=finder", "--alphabet=ab"], ["--alphabet: finder is a detector"]),
    ],
)
def test_mistakes(
    capsys: Captured, named: dict[str, str], places: list[str | Path], arguments: list[str], words: list[str]
) -> None:
    given = [named.get(text, text.replace("=JUNK", f"={named['JUNK']}")) for text in arguments]
    assert_refused(capsys, ["read", "--model=reader", *given, *places], *words)
