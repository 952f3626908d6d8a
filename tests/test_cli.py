"""The command line: a mistake is one line and exit status 4; caches are looked into; contracts change by diff."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from ocr_conformance import contract
from ocr_conformance.cache import Cache
from ocr_conformance.cases import Case
from ocr_conformance.cli import main
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.errors import UserError
from ocr_conformance.evidence import Outcome
from ocr_conformance.foreign import judge_file
from ocr_conformance.isolation import Limits
from ocr_conformance.registry import Format, Registry

Captured = pytest.CaptureFixture[str]
Command = Callable[..., str]


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


def assert_refused(capsys: Captured, arguments: list[str | Path], *words: str) -> None:
    assert run(*arguments) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("ocr-conformance")
    assert "--ocr-" not in printed.err  # the command line's options have no prefix
    for word in words:
        assert word in printed.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["COMMAND"]),
        (["nonsense"], ["nonsense", "judge"]),
        (["judge", "JUNK"], ["--model"]),
        (["judge", "lost.tflite", "--model=captcha-ocr"], ["there is no file lost.tflite"]),
        (["judge", "JUNK", "--model=captcha-orc"], ["--model captcha-orc", "did you mean captcha-ocr"]),
        (["judge", "JUNK", "--model=captcha*"], ["captcha*", "no such model"]),
        (["judge", "JUNK", "--model=captcha-ocr:tf-kears"], ["tf-kears", "did you mean tf-keras"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--mode=int9"], ["--mode int9", "did you mean int8"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--alphabet=no.json"], ["--alphabet no.json", '{"0": "a"']),
        (["judge", "JUNK", "--model=captcha-ocr", "--images=nowhere"], ["nowhere", "does not exist"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--samples=0"], ["--samples 0"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--samples=few"], ["--samples", "few"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--device=phone"], ["--device phone", "device profile"]),
        (["judge", "JUNK", "--model=pipeline:craft+easyocr"], ["pipeline:craft+easyocr: a pipeline is two files"]),
        (["list", "--model-path=nowhere"], ["nowhere", "--model-path"]),
        (["list", "--hooks=nowhere.py"], ["--hooks nowhere.py", "pytest_ocr_register"]),
        (["contract", "update", "captcha-orc"], ["did you mean captcha-ocr"]),
        (["contract", "update", "captcha-ocr", "--check=txet"], ["--check txet", "did you mean text"]),
        (["search", "captcha-ocr"], ["'captcha-ocr' is no case"]),
        (["explain", "captcha-ocr"], ["'captcha-ocr' is no case"]),
        (["explain", "captcha-ocr/tf-lite/int9@here"], ["--mode int9", "did you mean int8"]),
        (["explain", "captcha-ocr/litert-torch/int8@here"], ["there is no case captcha-ocr/litert-torch/int8@here"]),
        (["explain", "captcha-ocr/tf-lite/int8@here", "--output", "x.txt"], ["--output x.txt", ".csv"]),
        (["explain", "captcha-ocr/tf-lite/int8@here", "--recipe", "x.json"], ["--recipe belong to --bisect"]),
        (["explain", "captcha-ocr/tf-lite/int8@here", "--bisect", "--agreement", "2"], ["'2' is no share"]),
        (["search", "captcha-orc/tf-lite/int8@here"], ["--model captcha-orc", "did you mean captcha-ocr"]),
        (["search", "captcha-ocr/tf-lite/int9@here"], ["--mode int9", "did you mean int8"]),
        (["search", "captcha-ocr/litert-torch/int8@here"], ["there is no case captcha-ocr/litert-torch/int8@here"]),
        (["search", "captcha-ocr/tf-lite/int8@here", "--examples=0"], ["--examples", "'0' is no whole number of at"]),
        (["search", "captcha-ocr/tf-lite/int8@here", "--examples=x"], ["--examples", "'x' is no whole number"]),
        (["search", "captcha-ocr/tf-lite/int8@here", "--seed=-1"], ["--seed", "'-1' is no whole number of at least 0"]),
        (["repro", "captcha-ocr"], ["'captcha-ocr' is no case"]),
        (["repro", "captcha-ocr/tf-lite/int8@here", "--output", "JUNK"], ["--output", "this is a file; name another"]),
        (["toolchain", "create", "modren"], ["modren", "did you mean 'modern'"]),
        (["toolchain", "create", "modern", "--python=/nowhere"], ["/nowhere", "does not run"]),
        (["toolchain", "remove", "modren"], ["modren"]),
        (["cache", "prune"], ["--keep", "--unused"]),
        (["cache", "prune", "--keep=5"], ["'5' is no size", "2GB"]),
        (["cache", "prune", "--keep=-1GB"], ["'-1GB' is no size"]),
        (["cache", "prune", "--keep=nanGB"], ["'nanGB' is no size"]),
        (["cache", "prune", "--unused=-1"], ["'-1' is no number of days"]),
        (["cache", "info", "--cache=nowhere"], ["nowhere", "there is no cache"]),
    ],
)  # fmt: skip
def test_mistakes(
    capsys: Captured, junk: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(junk.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(junk.parent / "home"))  # no toolchain or cache of whoever runs this
    own = ["--cache=cache"] if arguments[:1] == ["judge"] or arguments[:1] == ["contract"] else []
    assert_refused(capsys, [*(str(junk) if text == "JUNK" else text for text in arguments), *own], *words)


@pytest.mark.parametrize("text", ["[1, 2", '{"0": "a", "2": "b"}', "7"])
def test_an_alphabet_file_that_is_none(capsys: Captured, junk: Path, text: str) -> None:
    path = junk.with_name("alphabet.json")
    path.write_text(text)
    assert_refused(capsys, ["judge", junk, "--model=captcha-ocr", f"--alphabet={path}"], "alphabet.json")


def test_list_shows_models_of_a_folder(capsys: Captured, downstream: Path) -> None:
    assert run("list", "--model-path", downstream / "models", "--hooks", downstream / "conftest.py") == 0
    printed = capsys.readouterr().out
    for word in ("reader:faulty", "on request", "pack", "captcha-ocr", "full-int8", "repeatability", "tf215"):
        assert word in printed


def test_search(capsys: Captured, downstream: Path, tmp_path: Path) -> None:
    own = ["--model-path", downstream / "models", "--hooks", downstream / "conftest.py", "--cache", tmp_path / "c"]
    asked = ["reader:dark/pack/int8@here", "--examples=60", *own]
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


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m ocr_conformance list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- cache -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache of three entries of 1 MB, unused for 3, 2 and 1 days."""
    cache = Cache(tmp_path / "cache")
    for days, name in ((3, "old"), (2, "middle"), (1, "new")):
        folder = cache.workspace()
        (folder / "model.bin").write_bytes(bytes(2**20))
        stored = cache.store(name * 8, f"convert {name}", Outcome("ok", "convert", seen=1.0), folder, Limits(1, 1))
        assert stored.folder is not None
        used = time.time() - days * 86400
        os.utime(stored.folder / "entry.json", (used, used))
    return cache.root


def test_cache_info(capsys: Captured, filled: Path) -> None:
    assert run("cache", "info", "--cache", filled) == 0
    *entries, total = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" ")[2] for line in entries] == ["old", "middle", "new"]
    assert total.startswith("3 entries, 3.0 MB in")


@pytest.mark.parametrize(
    ("option", "left"),
    [("--unused=2.5", ["middle", "new"]), ("--keep=1.5MB", ["new"]), ("--keep=9GB", ["old", "middle", "new"])],
)
def test_cache_prune(capsys: Captured, filled: Path, option: str, left: list[str]) -> None:
    assert run("cache", "prune", option, "--cache", filled) == 0
    assert capsys.readouterr().out.startswith(f"removed {3 - len(left)} entries, {3 - len(left)}.0 MB")
    assert [entry.title.split()[1] for entry in Cache(filled).entries()] == left


def test_prune_touches_no_folder_that_is_no_cache(capsys: Captured, tmp_path: Path) -> None:
    thesis = tmp_path / "tmp" / "thesis"
    thesis.mkdir(parents=True)
    os.utime(thesis, (0, 0))
    assert_refused(capsys, ["cache", "prune", "--unused=1", f"--cache={tmp_path}"], "there is no cache")
    assert thesis.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]


# --- contract update -------------------------------------------------------------------------------------------------


@pytest.fixture
def update(downstream: Path, tmp_path: Path, capsys: Captured) -> Command:
    """Run ``contract update`` on the downstream repository's model; returns what it printed."""

    def run_update(model: str, *arguments: str, status: int = 0) -> str:
        own = ["--model-path", downstream / "models", "--hooks", downstream / "conftest.py", "--cache", tmp_path / "c"]
        found = run("contract", "update", model, *own, *arguments)
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


# --- judging a file --------------------------------------------------------------------------------------------------


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
