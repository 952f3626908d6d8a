"""Run the command line in this process; engines and jobs as it starts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from ocr_conformance.cli import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def junk(tmp_path: Path) -> Path:
    path = tmp_path / "junk.tflite"
    path.write_bytes(b"no flatbuffer")
    return path


def run(*arguments: str | Path) -> int:
    """The exit status, also where argparse ends the process."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:
        return cast(int, end.code)


def run_json(capsys: Captured, *arguments: str | Path, status: int = 0) -> Any:
    """What a command prints with ``--json``."""
    found = run(*arguments, "--json")
    printed = capsys.readouterr()
    assert found == status, printed.err
    return json.loads(printed.out)


def own(downstream: Path) -> list[str | Path]:
    """The options that make the downstream repository's models known."""
    return ["--model-path", downstream / "models", "--hooks", downstream / "conftest.py"]


def assert_refused(capsys: Captured, arguments: list[str | Path], *words: str) -> None:
    assert run(*arguments) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("ocr-conformance")
    assert "--ocr-" not in printed.err  # the command line's options have no prefix
    for word in words:
        assert word in printed.err
