"""`search`, and what else is done to one case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Captured, assert_refused, own, run, run_json


def test_search(capsys: Captured, downstream: Path, tmp_path: Path) -> None:
    asked = ["reader:dark/pack/int8@here", "--examples=60", *own(downstream), "--cache", tmp_path / "c"]
    assert run("search", *asked) == 1
    printed = capsys.readouterr().out
    (picture,) = (tmp_path / "c" / "counterexamples").rglob("*.png")
    assert printed.startswith("reader:dark/pack/int8@")
    assert ": failed: disagreement " in printed and f"({picture})" in printed
    assert run("search", *asked, "--seed=3", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["result"]["check"], found["result"]["data"]["samples"]) == ("search", 60)
    picture.with_suffix(".json").write_text("[]")
    assert_refused(capsys, ["search", *asked, "--replay"], "--replay: ", "is no counterexample")


def test_a_search_that_could_not_be_made(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))  # no toolchain of whoever runs this
    asked = ["search", "keras-ocr/tf-lite/float32@tf215", "--cache", tmp_path / "c"]
    assert run(*asked) == 5
    assert ": skipped: toolchain tf215 is not created here" in capsys.readouterr().out
    assert run_json(capsys, *asked, status=5)["result"]["verdict"] == "skipped"
