"""What the network is fed and what the source answers; the toy recognizer needs no framework."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., dict[str, Any]]
PREPARE = "ocr_conformance.runtime.source:prepare"


def test_inputs_are_stacked_in_the_order_of_the_images(
    run_job: Run, toy: Run, images: list[dict[str, str]], tmp_path: Path
) -> None:
    result = run_job(PREPARE, {"model": toy(), "images": images}, out=tmp_path / "out")
    assert result["ok"], result
    assert result["facts"]["files"] == ["white.png", "black.png", "ramp.png"]
    assert result["facts"]["input_specs"][0]["name"] == "image"
    assert tuple(result["facts"]["output_specs"][0]["shape"]) == (1, 8, 5)
    with np.load(tmp_path / "out" / "inputs.npz") as source, np.load(tmp_path / "out" / "phone.npz") as phone:
        assert source["image"].shape == (3, 8, 8, 1)
        assert source["image"].dtype == np.float32
        assert source["image"][:, 0, 0, 0].tolist() == [1.0, 0.0, 0.0]
        np.testing.assert_array_equal(phone["image"], 1 - source["image"])


def test_the_source_answers_with_text(run_job: Run, toy: Run, images: list[dict[str, str]], tmp_path: Path) -> None:
    run_job(PREPARE, {"model": toy(), "images": images}, out=tmp_path / "in")
    result = run_job("ocr_conformance.runtime.source:predict", {"model": toy()}, {"inputs": tmp_path / "in"})
    assert result["ok"], result
    assert result["facts"]["texts"] == ["aaaaaaaa", "aaaaaaaa", ""]  # the ramp is brightest in the blank's column
    assert result["facts"]["parameters"] == 0
    assert result["stage"] == "source"
    with np.load(tmp_path / "job" / "outputs.npz") as outputs:
        assert outputs["probabilities"].dtype == np.float32


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: path.write_bytes(b"no image"), "changed while the run was planned"),
        (lambda path: path.unlink(), "cannot be read: No such file or directory"),
    ],
    ids=["changed", "gone"],
)
def test_an_image_that_is_not_what_was_planned_is_one_sentence(
    run_job: Run, toy: Run, images: list[dict[str, str]], break_it: Callable[[Path], None], message: str
) -> None:
    break_it(Path(images[1]["path"]))
    result = run_job(PREPARE, {"model": toy(), "images": images})
    assert result["type"] == "Changed"
    assert images[1]["path"] in result["message"]
    assert message in result["message"]


def test_an_image_that_does_not_decode_is_named(run_job: Run, toy: Run, images: list[dict[str, str]]) -> None:
    path = Path(images[2]["path"])
    path.write_bytes(b"no image")
    images[2]["sha256"] = hashlib.sha256(b"no image").hexdigest()
    result = run_job(PREPARE, {"model": toy(), "images": images})
    assert result["type"] == "ValueError"
    assert result["message"] == f"the image {path} does not decode: not an image"


def test_an_adapter_that_breaks_its_promise_is_told(run_job: Run, toy: Run, images: list[dict[str, str]]) -> None:
    result = run_job(PREPARE, {"model": toy("sloppy"), "images": images})
    assert result["type"] == "ValueError"
    assert "gives 'image' as float64[1, 8, 8, 1], the model declares float32[1, 8, 8, 1]" in result["message"]


def test_no_images_is_an_error(run_job: Run, toy: Run) -> None:
    result = run_job(PREPARE, {"model": toy(), "images": []})
    assert (result["type"], result["message"]) == ("ValueError", "there are no images to prepare")


_DECODERS = """
import itertools
from ocr_conformance.convert.ctc import greedy
from ocr_conformance.job import import_file

Toy = import_file({toy!r}).Toy


class Ctc(Toy):
    def decode(self, outputs):
        return greedy(outputs["probabilities"].argmax(axis=-1), self.alphabet, blank_first=True)


class Attention(Toy):
    alphabet = "abc"

    def decode(self, outputs):
        rows = outputs["probabilities"].argmax(axis=-1)
        kept = [itertools.takewhile(lambda index: index != 1, row) for row in rows]
        return ["".join(self.alphabet[index - 2] for index in row if index >= 2) for row in kept]


class Pairs(Toy):
    def decode(self, outputs):
        return ["ab" for _ in outputs["probabilities"]]


class Picky(Toy):
    def decode(self, outputs):
        raise ValueError("these are no scores")
"""


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        ("Toy", {"classes": ["a", "b", "c", "d", ""], "merges_repeats": False, "ends": []}),
        ("Ctc", {"classes": ["", "a", "b", "c", "d"], "merges_repeats": True, "ends": []}),
        ("Attention", {"alphabet": "abc", "classes": ["", "", "a", "b", "c"], "merges_repeats": False, "ends": [1]}),
        ("Pairs", {}),
        ("Picky", {"undecoded": "ValueError: these are no scores"}),
    ],
)
def test_how_scores_are_read_is_found_by_decoding(
    run_job: Run, toy: Run, tmp_path: Path, adapter: str, said: dict[str, Any]
) -> None:
    file = tmp_path / "decoders.py"
    file.write_text(_DECODERS.format(toy=toy()["adapter"].rpartition(":")[0]))
    result = run_job("ocr_conformance.runtime.source:describe", {"model": {**toy(), "adapter": f"{file}:{adapter}"}})
    assert result["ok"], result
    assert result["facts"] == {"alphabet": "abcd", **said}
