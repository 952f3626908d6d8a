"""The folder of a repro: it appears whole or not at all, and its script needs nothing of ours."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ocr_conformance import repro
from ocr_conformance.cases import Case
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.errors import UserError
from ocr_conformance.evidence import Outcome
from ocr_conformance.registry import Registry
from ocr_conformance.toolchain import Toolchain

DATA = Path(__file__).parent.parent / "data"
CASE = Case("toy", "", "tf-lite", "int8", "modern")
CHAIN = Toolchain("modern", sys.executable, "0" * 64, {"ai-edge-litert": "2.3.0", "torch": "2.13.0+cpu"})

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="ai-edge-litert is not installed"
)
needs_keras = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("keras") is None,
    reason="tensorflow and keras are not installed",
)


def engine(**plan: Any) -> Engine:
    """As much of an engine as `write` asks before it chooses."""
    found = SimpleNamespace(**{"parts": (), "skip": "", "case": CASE, **plan})
    return cast(Engine, SimpleNamespace(plan=lambda case: found))


def quantized(float_file: Path, quantized_file: Path, **more: Any) -> repro._Repro:
    with np.load(DATA / "expected.npz") as expected:
        np.savez(float_file.parent / "inputs.npz", input_0=expected["image"][2:3])
    files = {
        "float.tflite": float_file,
        "quantized.tflite": quantized_file,
        "inputs.npz": float_file.parent / "inputs.npz",
    }
    return repro._Repro(
        'a "quantizer" spoils `CONV_2D`', "quantized_wrong", ("ai-edge-litert",), CHAIN, "right", "wrong", "an op",
        values={"limit": "20", "feeds": json.dumps([0])}, files=files, **more,
    )  # fmt: skip


def run_alone(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script from another folder, by an interpreter that cannot import this package."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # Where the package is installed, the interpreter would find it: an import of it is made to fail.
    hide = "import runpy, sys; sys.modules['ocr_conformance'] = None; "
    code = f"{hide}runpy.run_path({str(folder / repro.SCRIPT)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


# --- the folder ------------------------------------------------------------------------------------------------------


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is chosen is a toy; its script is not run. The place for output."""
    (tmp_path / "files").mkdir()
    for name in ("conv.tflite", "conv-full-int8.tflite"):
        shutil.copyfile(DATA / name, tmp_path / "files" / name)
    made = quantized(tmp_path / "files" / "conv.tflite", tmp_path / "files" / "conv-full-int8.tflite")
    monkeypatch.setattr(repro, "_Chooser", lambda *_: SimpleNamespace(choose=lambda: made))
    monkeypatch.setattr(repro, "_try", lambda engine, plan, repro_, folder: repro._fill(folder, repro_))
    monkeypatch.setattr(repro, "_readme", lambda *_: "# read me\n")
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.mark.parametrize("empty", [False, True])
def test_the_folder_holds_the_script_and_its_files_and_nothing_is_left_beside(chosen: Path, empty: bool) -> None:
    if empty:
        (chosen / "deep" / "out").mkdir(parents=True)
    folder = repro.write(engine(), CASE, chosen / "deep" / "out")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "float.tflite", "inputs.npz", "quantized.tflite", "repro.py",
    ]  # fmt: skip
    assert [path.name for path in (chosen / "deep").iterdir()] == ["out"]
    script = (folder / "repro.py").read_text()
    assert "ocr_conformance" not in script and "$" not in script
    compile(script, "repro.py", "exec")


@pytest.mark.parametrize(("kind", "says"), [("folder", "is not empty"), ("file", "is a file")])
def test_a_folder_that_is_taken_is_left_alone(chosen: Path, kind: str, says: str) -> None:
    out = chosen / "out"
    if kind == "folder":
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    else:
        out.write_text("mine")
    with pytest.raises(UserError, match=rf"--output .*out: expected a folder .*, this {says}; name another"):
        repro.write(engine(), CASE, out)
    assert (out / "mine.txt" if kind == "folder" else out).read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("a script by itself does not show it")])
def test_an_interrupted_run_leaves_nothing(chosen: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def interrupted(engine: Any, plan: Any, repro_: Any, folder: Path) -> None:
        repro._fill(folder, repro_)
        raise error

    monkeypatch.setattr(repro, "_try", interrupted)
    with pytest.raises(type(error)):
        repro.write(engine(), CASE, chosen / "out")
    assert list(chosen.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(chosen: Path) -> None:
    (chosen / "file").write_text("")
    with pytest.raises(UserError, match=r"--output .*file/out: cannot be"):
        repro.write(engine(), CASE, chosen / "file" / "out")


def test_a_pipeline_and_a_case_without_toolchain_are_refused_before_anything_is_written(chosen: Path) -> None:
    part = SimpleNamespace(case="craft/litert-torch/int8@modern")
    with pytest.raises(UserError, match=r"is a pipeline: make a repro of one of its parts, craft/litert-torch"):
        repro.write(engine(parts=((None, part),)), CASE, chosen / "out")
    with pytest.raises(UserError, match="cannot be tried here: no tensorflow"):
        repro.write(engine(skip="no tensorflow"), CASE, chosen / "out")
    assert list(chosen.iterdir()) == []


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(repro._TEMPLATES.glob("*.py.txt")), ids=lambda path: path.name)
@pytest.mark.parametrize("full", [False, True])
def test_every_script_is_python_and_imports_nothing_of_ours(path: Path, full: bool) -> None:
    values = {
        "title": "A title", "imports": "import faulthandler", "guard": "faulthandler.dump_traceback_later(9)",
        "numpy": "import numpy as np", "settings": "converter = None", "backend": "tf_converter", "names": '["image"]',
        "opset": "12", "dynamo": "False", "tolerance": "1e-3", "limit": "20", "feeds": "[0]",
        **repro._recipe({"mode": "int8", "recipe": "scoped", "dynamic": "x", "ranges": "average"}, True, stacked=True),
    }  # fmt: skip
    if not full:
        values |= {"imports": "", "guard": "", "numpy": "", "settings": ""}
    script = repro._render(path.name, values)
    compile(script, path.name, "exec")
    assert "ocr_conformance" not in script and "$" not in script and "\n\n\n\n" not in script


@pytest.mark.parametrize("mode", ["dynamic-range", "float16", "int8", "full-int8", "int16x8"])
@pytest.mark.parametrize("recipe", ["all", "scoped"])
@pytest.mark.skipif(importlib.util.find_spec("litert_quantizer") is None, reason="litert-quantizer is not installed")
def test_the_recipe_in_a_script_is_the_one_of_the_hop(tmp_path: Path, mode: str, recipe: str) -> None:
    params = {"mode": mode, "recipe": recipe, "dynamic": "head", "ranges": "extremes"}
    made = repro._recipe(params, False, stacked=False)
    code = f"""
from ocr_conformance.convert.litert_quantizer import recipe as recipe_of
{made["quantizer_imports"]}
{made["recipe"]}
theirs = recipe_of({mode!r}, scoped={recipe == "scoped"}, dynamic="head")
assert recipe.get_quantization_recipe() == theirs.get_quantization_recipe()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_litert
def test_the_script_says_wrong_until_the_file_is_right(chosen: Path) -> None:
    folder = repro.write(engine(), CASE, chosen / "out")
    done = run_alone(folder)
    assert done.returncode == 0, done.stdout + done.stderr  # the toy's int8 file is a good one
    assert done.stdout.splitlines()[-1] == "right"
    with np.load(folder / "inputs.npz") as archive:
        np.savez(folder / "inputs.npz", input_0=archive["input_0"], input_1=archive["input_0"][:, ::-1])
    script = folder / repro.SCRIPT
    script.write_text(script.read_text().replace("FEEDS = [0]", "FEEDS = [1]"))  # another image's numbers
    done = run_alone(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "WRONG" and "SQNR" in done.stdout


def ran(status: int, *output: str) -> Outcome:
    return Outcome("ok", "convert", facts={"status": status, "output": list(output), "python": "3.11.7"})


@pytest.mark.parametrize(
    ("ended", "run", "shows"),
    [
        (None, ran(1, "SQNR 0.0 dB", "WRONG"), True),
        (None, ran(0, "right"), False),
        (None, ran(1, "ModuleNotFoundError: No module named 'torch'"), False),
        (None, ran(-11), False),
        (Outcome("signal", "convert", "SIGSEGV"), ran(-11), True),
        (Outcome("signal", "convert", "SIGSEGV"), ran(1, "ValueError: no"), False),
        (Outcome("exception", "convert", "RuntimeError: tensor data is null"), ran(1, "RuntimeError: tensor"), True),
        (Outcome("exception", "convert", "RuntimeError: tensor data is null"), ran(1, "ImportError: no numpy"), False),
        (Outcome("exception", "convert", "RuntimeError: tensor data is null"), ran(0, "converted"), False),
        (Outcome("memory", "convert", "more than 9 MB"), Outcome("memory", "convert"), True),
        (Outcome("memory", "convert", "more than 9 MB"), ran(0, "converted"), False),
        (Outcome("signal", "convert", "SIGSEGV"), Outcome("timeout", "convert"), False),
    ],
)
def test_what_fails_for_another_reason_shows_nothing(ended: Outcome | None, run: Outcome, shows: bool) -> None:
    made = repro._Repro("title", "template", (), CHAIN, "right", "wrong", "an op", ended)
    assert repro._shows(made, run) == shows


def test_the_readme_says_what_to_install_and_whose_weights_these_are(tmp_path: Path) -> None:
    (tmp_path / "repro.py").write_text("print()\n")
    ended = Outcome("signal", "convert", "SIGSEGV", seconds=1.25, peak_bytes=2**20)
    made = repro._Repro(
        "torch crashes (SIGSEGV)", "tf_lite_fails", ("torch", "ai-edge-litert"), CHAIN, "it converts",
        repro._happens("tf-lite(int8)", ended), "a model", ended,
    )  # fmt: skip
    known = SimpleNamespace(distribution="models==1.0", url="", path="", licence="MIT")
    plan = SimpleNamespace(
        case=CASE,
        source=SimpleNamespace(
            weights=SimpleNamespace(name="real", path="/x", sha256="a" * 64),
            entry=SimpleNamespace(contract=SimpleNamespace(weights_sources=lambda: {"real": known})),
        ),
    )
    text = repro._readme(cast(Any, plan), made, tmp_path, ran(-11, "Fatal"))
    for words in (
        "# torch crashes (SIGSEGV)", "pip install torch==2.13.0 ai-edge-litert==2.3.0",
        "python -X faulthandler repro.py", "tf-lite(int8) was killed by SIGSEGV after 1.2 s",
        "killed by signal 11, exit status 139", "`real` of models==1.0", "their licence: MIT", "On Python 3.11.",
        "| repro.py | 8 |",
    ):  # fmt: skip
        assert words in text
    plan.source.weights.path = None
    assert "drawn from a seed: they are nobody's" in repro._readme(cast(Any, plan), made, tmp_path, ran(-11, "Fatal"))


# --- for real --------------------------------------------------------------------------------------------------------


@pytest.fixture
def captcha(tmp_path: Path) -> Iterator[Engine]:
    settings = Settings(models=("captcha-ocr",), routes=("tf-lite",), samples=4, cache=tmp_path / "cache")
    with Engine(settings, Registry.built_in()) as made:
        if not any(case.toolchain == "modern" for case in made.cases):
            pytest.skip("the toolchain modern is not here")
        yield made


@needs_keras
def test_a_converter_that_crashes_is_shown_by_its_saved_model_and_one_sample(captcha: Engine, tmp_path: Path) -> None:
    folder = repro.write(captcha, Case.parse("captcha-ocr/tf-lite/int8@modern"), tmp_path / "out")
    with np.load(folder / "calibration.npz") as calibration:
        assert [len(calibration[name]) for name in calibration.files] == [1]
    text = (folder / "README.md").read_text()
    assert "crashes (SIGSEGV) on this model, mode int8" in text and "killed by signal 11" in text
    assert "pip install tensorflow==" in text and str(tmp_path) not in text and "ocr_conformance" not in text
    done = run_alone(folder)
    assert done.returncode == -11
    with pytest.raises(UserError, match="is not empty"):
        repro.write(captcha, Case.parse("captcha-ocr/tf-lite/int8@modern"), folder)


@needs_keras
def test_a_float_file_that_is_right_has_nothing_to_show(captcha: Engine, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="captcha-ocr/tf-lite/float32@modern: "):
        repro.write(captcha, Case.parse("captcha-ocr/tf-lite/float32@modern"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
