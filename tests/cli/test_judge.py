"""A file that somebody else made is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_conformance.cli.options import status_of
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.errors import UserError
from ocr_conformance.foreign import judge_file
from ocr_conformance.registry import Format, Registry
from ocr_conformance.results import CheckResult, Verdict

from .conftest import Captured, run


def foreign_engine(downstream: Path, cache: Path) -> Engine:
    """An engine that knows the downstream model, and runs ``.tflite`` files by its numpy functions."""
    registry = Registry.built_in()
    registry.add_models(downstream / "models")
    hops = downstream / "hops.py"
    # Its functions read another file name than the one under which a foreign artifact is taken in.
    hops.write_text(hops.read_text().replace("model.bin", "model.tflite"))
    functions = {name: f"{hops}:{name}" for name in ("run", "inspect", "repeat", "latency", "memory")}
    registry.add_format("tflite", Format("model.tflite", **functions))
    return Engine(Settings(models=("reader",), cache=cache), registry)


def test_a_file_that_is_no_tflite_fails(downstream: Path, tmp_path: Path, junk: Path) -> None:
    with foreign_engine(downstream, tmp_path / "c") as engine:
        case, results = judge_file(engine, junk, "reader")
    assert (case.route, case.mode) == ("file", "unknown")
    assert results["conversion"].verdict == "failed"
    assert "it does not bear the identifier TFL3" in results["conversion"].message
    assert {result.verdict for name, result in results.items() if name != "conversion"} == {"not-run"}
    assert "mode" not in results  # none was said


def test_inputs_that_cannot_be_had_are_no_success(downstream: Path, tmp_path: Path, junk: Path) -> None:
    junk.write_bytes(b"\0\0\0\0TFL3")
    adapter = downstream / "models" / "reader" / "model.py"
    adapter.write_text(
        adapter.read_text().replace("with Image.open", "raise ValueError('no eyes')\n        with Image.open")
    )
    with foreign_engine(downstream, tmp_path / "c") as engine:
        _, results = judge_file(engine, junk, "reader", mode="int8")
    assert results["conversion"].verdict == "failed"
    assert "no eyes" in results["conversion"].message


def test_a_job_that_fails_is_a_failed_check(downstream: Path, tmp_path: Path, junk: Path) -> None:
    hops = downstream / "hops.py"
    text = hops.read_text()
    text = text.replace("np.load(", "np.lib.npyio.NpzFile(").replace('/ "model.bin")', '/ "model.bin").open("rb")')
    text = text.replace("NpzFile(job.inputs", "NpzFile((job.inputs").replace('.open("rb") as', '.open("rb")) as')
    text += "\n\ndef memory(job):\n    raise OSError('no such counter')\n"
    hops.write_text(text)
    make = (
        "import numpy, sys; out = open(sys.argv[1], 'wb'); out.write(b'\\0\\0\\0\\0TFL3'); "
        "levels = numpy.tile(numpy.linspace(0.01, 0.97, 5, dtype=numpy.float32), (2000, 1)); "
        "numpy.savez(out, levels=levels, leak=False, mode='float32')"
    )
    subprocess.run([sys.executable, "-c", make, str(junk)], check=True)
    with foreign_engine(downstream, tmp_path / "c") as engine:
        _, results = judge_file(engine, junk, "reader")
    assert results["accuracy"].verdict == "passed", results["accuracy"].message
    assert results["memory"].verdict == "failed"
    assert "no such counter" in results["memory"].message


def test_names_are_checked(downstream: Path, tmp_path: Path, junk: Path) -> None:
    with foreign_engine(downstream, tmp_path / "c") as engine:
        with pytest.raises(UserError, match="did you mean reader"):
            judge_file(engine, junk, "raeder")
        with pytest.raises(UserError, match="no variant"):
            judge_file(engine, junk, "reader:nope")


def test_results_as_json(
    capsys: Captured, downstream: Path, tmp_path: Path, junk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops = downstream / "conftest.py"
    hops.write_text(hops.read_text() + '\n    registry.add_format("tflite", Format("model.tflite", **functions))\n')
    paths = ["--model-path", downstream / "models", "--hooks", hops]
    assert run("judge", junk, "--model=reader", "--json", "--cache", tmp_path / "c", *paths) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["results"]["conversion"]["verdict"] == "failed"
    assert found["case"].startswith("reader/file/unknown@")


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (("passed", "skipped"), 0),
        (("unsupported", "not-run"), 0),
        (("passed", "failed"), 1),
        (("undecided", "skipped"), 1),
        (("skipped", "not-run"), 5),
        ((), 5),
    ],
)
def test_nothing_judged_is_no_success(verdicts: tuple[Verdict, ...], status: int) -> None:
    assert status_of(CheckResult("size", verdict, "") for verdict in verdicts) == status
