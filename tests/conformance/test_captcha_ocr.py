"""captcha-ocr: a crash is a verdict, state between invokes is seen, real captchas and a foreign artifact are judged."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_conformance.job import import_file

from .conftest import Run

CHECKOUT = Path(__file__).parents[2]
Judge = Callable[..., Run]
SHORT = ("--ocr-route=tf-lite", "--ocr-mode=float32", "--ocr-mode=dynamic-range", "--ocr-mode=int8")


@pytest.mark.usefixtures("keras3")
def test_the_crash_of_the_converter_is_a_verdict_and_the_run_finishes(judge: Judge) -> None:
    # not latency: a test must not depend on what else the machine does
    # so many samples, so that no other test has made all of this evidence before
    selected = ("--ocr-model=captcha-ocr", "-k", "not tf-keras and not latency", *SHORT, "--ocr-samples=31")
    run = judge(*selected)
    assert run.status == 0, run.text
    crash = run.check("captcha-ocr/tf-lite/int8", "conversion")
    assert crash["verdict"] == "unsupported"
    assert "SIGSEGV" in crash["message"]
    assert run.check("captcha-ocr/tf-lite/int8", "text")["verdict"] == "not-run"
    assert run.value("captcha-ocr/tf-lite/float32", "tensors", "max_abs") < 1e-4
    assert run.check("captcha-ocr/tf-lite/dynamic-range", "mode")["verdict"] == "passed"
    assert run.record["runs"][0]["jobs_run"] > 0

    again = judge(*selected)
    assert again.record["runs"][0]["jobs_run"] == 0
    assert again.status == 0


def test_fused_lstms_keep_their_state(judge: Judge) -> None:
    run = judge(
        "--ocr-model=captcha-ocr:tf-keras", "--ocr-route=tf-lite", "--ocr-mode=float32", "--ocr-check=repeatability",
        "--ocr-check=tensors", "--ocr-check=text",
    )  # fmt: skip
    leak = run.check("captcha-ocr:tf-keras/tf-lite/float32", "repeatability")
    assert leak["verdict"] == "unsupported"
    assert "in the first invoke and is" in leak["message"]
    assert run.value("captcha-ocr:tf-keras/tf-lite/float32", "repeatability", "without_reset") > 0.05
    assert run.value("captcha-ocr:tf-keras/tf-lite/float32", "repeatability", "max_abs") < 1e-5
    # The texts are the source's all the same, though the converter clips the cells of the shipped weights.
    clipped = run.check("captcha-ocr:tf-keras/tf-lite/float32", "tensors")
    assert clipped["verdict"] == "unsupported"
    assert "cell_clip" in clipped["message"]
    assert run.value("captcha-ocr:tf-keras/tf-lite/float32", "text", "agreement") == 1.0


@pytest.mark.usefixtures("keras3")
def test_what_runs_on_a_microcontroller_and_what_only_seems_to(judge: Judge) -> None:
    run = judge("--ocr-model=captcha-ocr:tf-keras", "--ocr-mode=full-int8", "--ocr-check=ops", "-k", "not unrolled")
    said = {
        route: run.check(f"captcha-ocr:tf-keras/{route}/full-int8", "ops") for route in ("tf-lite", "litert-quantizer")
    }
    micro = {route: result["data"]["targets"]["micro"] for route, result in said.items()}
    if importlib.util.find_spec("tflite_micro") is None:
        assert {result["verdict"] for result in said.values()} == {"skipped"}
        assert "lacks tflite-micro" in said["tf-lite"]["message"]
        return
    assert said["tf-lite"]["verdict"] == "passed"
    assert micro["tf-lite"]["runs"] is True
    assert micro["tf-lite"]["data"]["arena_bytes"] < 2**20
    assert said["litert-quantizer"]["verdict"] == "unsupported"
    assert micro["litert-quantizer"]["data"]["cosine"] < 0.9
    shares = said["tf-lite"]["data"]["targets"]["xnnpack"]["shares"]
    assert 0.7 < shares["macs"] < 0.8  # the rest is in the fused LSTMs


@pytest.mark.usefixtures("keras3")
def test_a_counterexample_of_the_search_is_one_to_the_other_jobs_too(judge: Judge, tmp_path: Path) -> None:
    case = "captcha-ocr/tf-lite-unrolled/full-int8"
    selected = ("--ocr-model=captcha-ocr", "--ocr-route=tf-lite-unrolled", "--ocr-mode=full-int8", "-k", "not tf-keras",
                "--ocr-no-explain")  # fmt: skip
    found = judge(*selected, "--ocr-check=search", "--ocr-search=40").check(case, "search")["data"]["counterexample"]
    assert found["shrunk"] and found["source"] != found["artifact"]
    (tmp_path / "kept").mkdir()
    shutil.copy(found["file"], tmp_path / "kept" / "word.png")
    text = judge(*selected, "--ocr-check=text", f"--ocr-images={tmp_path / 'kept'}").check(case, "text")
    assert text["data"]["differences"] == [["word.png", found["source"], found["artifact"]]]


@pytest.fixture
def unseen(shared: Callable[[str], Path], tmp_path: Path) -> Path:
    """The real captchas that the shipped weights were not trained on."""
    training = import_file(str(CHECKOUT / "models" / "captcha-ocr" / "training" / "train.py"))
    assert training.copy_held_out(shared("captcha"), tmp_path / "unseen") == 0
    return tmp_path / "unseen"


def test_the_shipped_weights_read_captchas_they_never_saw(judge: Judge, unseen: Path) -> None:
    case = "captcha-ocr:tf-keras/tf-lite/dynamic-range"
    run = judge(
        "--ocr-model=captcha-ocr:tf-keras", "--ocr-route=tf-lite", "--ocr-mode=dynamic-range", f"--ocr-images={unseen}",
        "--ocr-check=text", "--ocr-check=accuracy", "--ocr-check=preprocessing",
    )  # fmt: skip
    assert run.status == 0, run.text
    known = run.record["runs"][0]["models"]["captcha-ocr:tf-keras"]
    assert known["weights"]["name"] == "shipped"
    assert known["images"]["labelled"] == known["images"]["count"] == len(list(unseen.iterdir())) > 70
    assert run.value(case, "accuracy", "source_accuracy") >= 0.95
    assert run.value(case, "accuracy", "accuracy") >= 0.95
    assert run.check(case, "preprocessing")["verdict"] == "passed"


def test_seeded_weights_read_nothing_and_say_so(judge: Judge, shared: Callable[[str], Path]) -> None:
    run = judge(
        "--ocr-model=captcha-ocr:tf-keras", "--ocr-route=tf-lite", "--ocr-mode=float32", "--ocr-weights=seeded",
        f"--ocr-images={shared('captcha')}", "--ocr-samples=24", "--ocr-check=text", "--ocr-check=accuracy",
    )  # fmt: skip
    known = run.record["runs"][0]["models"]["captcha-ocr:tf-keras"]["images"]
    assert (known["count"], known["labelled"], known["origin"]) == (24, 24, "user")
    case = "captcha-ocr:tf-keras/tf-lite/float32"
    assert run.check(case, "text")["verdict"] == "passed"
    assert run.check(case, "accuracy")["verdict"] == "skipped"
    assert "with weights seeded" in run.check(case, "accuracy")["message"]


def test_the_published_artifact(shared: Callable[[str], Path], evidence: Path, judge: Judge) -> None:
    artifact = shared("published/captcha_ocr_dr.tflite")
    command = [sys.executable, "-m", "ocr_conformance", "judge", str(artifact), "--model=captcha-ocr:tf-keras"]
    command += [f"--alphabet={shared('published/captcha_ocr_num_to_char.json')}", f"--images={shared('captcha')}"]
    command += ["--samples=64", "--mode=dynamic-range", "--json", f"--cache={evidence}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # its signature is wrong
    results = json.loads(done.stdout)["results"]
    assert "declared as [1, 1, 20]" in results["signature"]["message"]
    assert "[1, 50, 20]" in results["signature"]["message"]
    assert {value["name"]: value["measured"] for value in results["accuracy"]["values"]}["accuracy"] == 1.0
    for name in ("ops", "size", "repeatability", "mode"):
        assert results[name]["verdict"] == "passed", results[name]
