"""`latency import` holds a phone's log against the contract's ceilings; no check compares a PC with a phone's."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocr_conformance.contract import load

from .conftest import Captured, assert_refused, own, run, run_json

CHECKOUT = Path(__file__).parents[2]
CASE = "keras-ocr/tf-lite/dynamic-range@modern"
K20 = ("--case", CASE, "--device=redmi-k20-pro")


def log_of(milliseconds: float, *, memory: float = 30.0, spread: int = 900) -> str:
    """What benchmark_model prints of 50 invokes."""
    mean = round(milliseconds * 1000)
    return (
        f"STARTING!\nNum threads: [4]\ncount=50 first={mean} curr={mean} min=1 max=9 avg={mean} std={spread}\n\n"
        f"Inference timings in us: Init: 9, First inference: {mean}, Warmup (avg): {mean}, Inference (avg): {mean}\n"
        f"Memory footprint delta from the start of the tool (MB): init=1 overall={memory}\n"
    )


@pytest.mark.parametrize(
    ("log", "status", "verdicts"),
    [
        (log_of(180), 0, ("passed", "passed")),
        (log_of(200), 1, ("undecided", "passed")),
        (log_of(230), 1, ("failed", "passed")),
        (log_of(180, memory=60), 1, ("passed", "failed")),
    ],
)
def test_verdicts_and_exit_status(
    capsys: Captured, tmp_path: Path, log: str, status: int, verdicts: tuple[str, str]
) -> None:
    file = tmp_path / "bench.txt"
    file.write_text(log)
    found = run_json(capsys, "latency", "import", file, *K20, status=status)
    assert (found["case"], found["device"]) == (CASE, "redmi-k20-pro")
    assert (found["results"]["latency"]["verdict"], found["results"]["memory"]["verdict"]) == verdicts
    assert run("latency", "import", file, *K20) == status
    latency, memory = capsys.readouterr().out.splitlines()
    assert latency.split()[:2] == ["latency", verdicts[0]]
    assert memory.split()[:2] == ["memory", verdicts[1]]
    assert "200 (published by ocr_tflite for its own file, not measured here)" in latency


def test_standard_input(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(log_of(180).encode())))
    assert run("latency", "import", "-", *K20) == 0
    assert capsys.readouterr().out.startswith("latency  passed     latency ms on redmi-k20-pro 180 [")


def test_the_published_figures_are_the_first_profile() -> None:
    contract = load(CHECKOUT / "models" / "keras-ocr" / "contract.toml")
    profile = contract.device["redmi-k20-pro"]
    assert (profile.threads, profile.remote) == (4, True)
    assert {
        ceiling.mode: (ceiling.latency_ms, round((ceiling.memory_bytes or 0) / 2**20, 2)) for ceiling in profile.ceiling
    } == {("dynamic-range",): (200, 46.38), ("float16",): (760, 128)}
    assert all("not measured here" in (ceiling.source or "") for ceiling in profile.ceiling)


def test_a_toy_with_a_ceiling_of_latency_only(capsys: Captured, downstream: Path, tmp_path: Path) -> None:
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(contract.read_text() + "\n[device.watch]\n[[device.watch.ceiling]]\nlatency_ms = 5\n")
    file = tmp_path / "bench.txt"
    file.write_text(log_of(3))
    asked = [*own(downstream), "--case=reader/pack/int8@here", "--device=watch"]
    found = run_json(capsys, "latency", "import", file, *asked)
    assert {name: result["verdict"] for name, result in found["results"].items()} == {
        "latency": "passed",
        "memory": "skipped",
    }


def test_no_figure_for_the_only_ceiling(capsys: Captured, downstream: Path, tmp_path: Path) -> None:
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(contract.read_text() + "\n[device.watch]\n[[device.watch.ceiling]]\nmemory_bytes = 5\n")
    file = tmp_path / "bench.txt"
    file.write_text(log_of(3, memory=0))
    asked = [*own(downstream), "--case=reader/pack/int8@here", "--device=watch"]
    found = run_json(capsys, "latency", "import", file, *asked, status=5)
    assert {result["verdict"] for result in found["results"].values()} == {"skipped"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["LOG"], ["--case", "--device"]),
        (["lost.txt", *K20], ["lost.txt: cannot be read", "the output of benchmark_model"]),
        ([".", *K20], [".: cannot be read"]),
        (["JUNK", *K20], ["junk.tflite: no finished run of benchmark_model"]),
        (["LOG", "--case=keras-ocr", "--device=redmi-k20-pro"], ["'keras-ocr' is no case"]),
        (["LOG", *K20, "--case=keras-orc/tf-lite/int8@here"], ["did you mean keras-ocr"]),
        (["LOG", *K20, "--case=keras-ocr/tf-lite/int9@here"], ["--case int9", "did you mean int8"]),
        (["LOG", *K20, "--case=keras-ocr/litert-torch/int8@here"], ["--case litert-torch", "route of keras-ocr"]),
        (
            ["LOG", *K20, f"--case={CASE.replace('modern', 'modren')}"],
            ["--case modren", "you mean modern"],
        ),
        (["LOG", *K20, "--device=redmi-k30-pro"], ["--device redmi-k30-pro", "did you mean redmi-k20-pro"]),
        (["LOG", *K20, "--case=keras-ocr/tf-lite/int8@here"], ["has no ceiling for keras-ocr/tf-lite/int8@here"]),
        (["LOG", *K20, "--case=captcha-ocr/tf-lite/int8@here"], ["--device redmi-k20-pro", "captcha-ocr"]),
    ],
)
def test_mistakes(capsys: Captured, junk: Path, arguments: list[str], words: list[str]) -> None:
    log = junk.with_name("log.txt")
    log.write_text(log_of(180))
    named = {"LOG": str(log), "JUNK": str(junk)}
    assert_refused(capsys, ["latency", "import", *(named.get(text, text) for text in arguments)], *words)


def test_no_check_compares_this_machine_with_a_phone(capsys: Captured, junk: Path, tmp_path: Path) -> None:
    asked = ["judge", junk, "--model=captcha-ocr", "--device=redmi-k20-pro", f"--cache={tmp_path}"]
    assert_refused(capsys, asked, "--device redmi-k20-pro: pytest does not run on it", "ocr-conformance latency import")
