"""Run the command line in this process; engines and jobs as it starts them."""

from __future__ import annotations

import json
from collections.abc import Callable
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


@pytest.fixture
def artifact(downstream: Path, capsys: Captured, tmp_path: Path) -> Callable[[str], Path]:
    """What a toy model converts to (``artifact("reader/int8")``), with the identifier of a TFLite file before it.

    The downstream repository is told to run such files by its own runtime.
    """
    hops, hooks = downstream / "hops.py", downstream / "conftest.py"
    found = 'np.lib.npyio.NpzFile(next(job.inputs["artifact"].glob("model.*")).open("rb"), own_fid=True)'
    hops.write_text(hops.read_text().replace('np.load(job.inputs["artifact"] / "model.bin")', found))
    hooks.write_text(hooks.read_text() + '\n    registry.add_format("tflite", Format("model.tflite", **functions))\n')

    def make(name: str) -> Path:
        model, _, mode = name.partition("/")
        folder = tmp_path / "made"
        asked = [model, f"--mode={mode}", "--output", folder, "--cache", tmp_path / "c"]
        assert run("convert", *asked, "--model-path", downstream / "detectors", *own(downstream)) == 0
        (product,) = folder.rglob(f"{model.replace(':', '.')}/pack/{mode}@*.bin")
        file = tmp_path / f"{name.replace('/', '-').replace(':', '-')}.tflite"
        file.write_bytes(b"\0\0\0\0TFL3" + product.read_bytes())
        capsys.readouterr()
        return file

    return make


def assert_refused(capsys: Captured, arguments: list[str | Path], *words: str) -> None:
    assert run(*arguments) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("ocr-conformance")
    assert "--ocr-" not in printed.err  # the command line's options have no prefix
    for word in words:
        assert word in printed.err
