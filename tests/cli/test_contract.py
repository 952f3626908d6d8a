"""Contracts change by diff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_conformance import contract
from ocr_conformance.cases import Case

from .conftest import Captured, own, run

Command = Callable[..., str]


@pytest.fixture
def update(downstream: Path, tmp_path: Path, capsys: Captured) -> Command:
    """Run ``contract update`` on the downstream repository's model; returns what it printed."""

    def run_update(model: str, *arguments: str, status: int = 0) -> str:
        found = run("contract", "update", model, *own(downstream), "--cache", tmp_path / "c", *arguments)
        printed = capsys.readouterr()
        assert found == status, printed.err
        return printed.out + printed.err

    return run_update


def test_update_shows_a_diff_and_writes_when_told(update: Command, downstream: Path) -> None:
    path = downstream / "models" / "reader" / "contract.toml"
    before = path.read_text()
    shown = update("reader", "--mode=int8", "--check=size", "--check=text")
    assert "+[[promise]]" in shown
    assert "# reader/pack/int8@" in shown
    assert "text.agreement stays at 1 (0.833 would be looser)" in shown
    assert path.read_text() == before
    assert update("reader", "--mode=int8", "--check=size", "--check=text", "--write") == shown
    size = contract.load(path).limits(Case("reader", "", "pack", "int8", "any"), {}).size.bytes
    assert size is not None
    assert size < 100_000
    again = update("reader", "--mode=int8", "--check=size")
    assert again == "nothing to change\n"


def test_update_loosens_only_with_a_reason(update: Command, downstream: Path) -> None:
    update("reader", "--mode=int8", "--check=text", "--because=six images", "--write")
    path = downstream / "models" / "reader" / "contract.toml"
    assert contract.load(path).promise[-1].because == "six images"


def test_update_leaves_failures_alone(update: Command) -> None:
    some = update("reader:faulty", "--mode=float32", "--mode=float16", "--mode=full-int8", "--check=size")
    assert "reader:faulty/pack/full-int8@" in some
    assert "left alone: size is failed" in some
    none = update("reader:faulty", "--mode=full-int8", status=4)
    assert "no case passed: there is nothing to baseline" in none
    assert "conversion is failed" in none
