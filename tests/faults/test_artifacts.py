"""A damaged artifact ends as a verdict or in one sentence, whatever the runtime and the inspection make of it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_conformance import isolation
from ocr_conformance.evidence import Outcome
from ocr_conformance.isolation import JobRequest, Limits, Runner, Workplace
from tests.engine.conftest import CHECKOUT, PATIENCE, processes, wait_for

from . import damage
from .damage import DATA, bomb, flipped, pointing_outside, truncated

INSPECT, RUN = "ocr_conformance.inspect.tflite:inspect", "ocr_conformance.runtime.litert:run"
SECONDS, MEMORY = 20.0, 1 << 30
REFUSED = re.compile(r"ValueError: model\.tflite is (no TFLite file: it lacks|a damaged TFLite file: \w+: .)")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="runs .tflite files, and ai-edge-litert is not installed"
)


class Laboratory:
    """Runs files as artifacts, in children of a worker process that has the runtime imported."""

    def __init__(self, folder: Path, place: Workplace, inputs: Path) -> None:
        self.folder = folder
        self.place = place
        self.inputs = inputs
        self.runner = Runner()

    def outcome(self, function: str, name: str, content: bytes) -> Outcome:
        """How a job on the file ends."""
        artifact, out = self.folder / f"{name}.artifact", self.folder / f"{name}.out"
        for each in (artifact, out):
            each.mkdir()
        (artifact / "model.tflite").write_bytes(content)
        weights = {"name": "none", "path": None, "sha256": ""}
        model = {"adapter": f"{DATA / 'toy' / 'model.py'}:Toy", "variant": "", "weights": weights}
        request = JobRequest(
            function, {"model": model, "threads": 1}, {"artifact": artifact, "inputs": self.inputs}, out
        )
        found = self.runner.run(self.place, request, Limits(SECONDS, MEMORY))
        for each in (artifact, out):
            isolation.remove(each)
        return found

    def each(self, function: str, files: Iterator[tuple[str, bytes]]) -> dict[str, Outcome]:
        """The same for many files, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            jobs = {name: pool.submit(self.outcome, function, name, content) for name, content in files}
            return {name: job.result() for name, job in jobs.items()}


@pytest.fixture
def laboratory(temporary: Path, worker_path: Path, inputs: Path, tmp_path: Path) -> Iterator[Laboratory]:
    """Where damaged files are run; nothing of it may be left."""
    folder = tmp_path / "laboratory"
    folder.mkdir()
    place = Workplace(sys.executable, (str(worker_path),), preload=("numpy", "ai_edge_litert.interpreter"))
    made = Laboratory(folder, place, inputs)
    try:
        yield made
        (parent,) = made.runner._parents.values()
        assert {process.pid for process in processes(str(temporary))} <= {parent._process.pid}
    finally:
        made.runner.close()
    wait_for(lambda: not processes(str(temporary)))
    assert not any(folder.iterdir())


def assert_verdicts(found: dict[str, Outcome]) -> None:
    """Each is something that `conversion` can say in a sentence; of exceptions their type and what they say."""
    for name, outcome in found.items():
        assert outcome.kind in ("ok", "exception", "signal", "timeout", "memory"), (name, outcome)
        assert "\n" not in outcome.message and "Traceback" not in outcome.message, (name, outcome)
        if outcome.kind == "exception":
            assert re.match(r"(ValueError|RuntimeError|TypeError|UnicodeDecodeError): .", outcome.message), (
                name,
                outcome,
            )
        if outcome.kind == "signal":
            assert re.fullmatch("SIG(SEGV|ABRT|BUS|FPE|ILL)", outcome.message), (name, outcome)


def assert_looked_into(found: dict[str, Outcome]) -> None:
    """The inspection either reads a file or says that it is damaged; nothing else happens to it."""
    for name, outcome in found.items():
        assert outcome.ok or (outcome.kind == "exception" and REFUSED.match(outcome.message)), (name, outcome)


def assert_still_works(laboratory: Laboratory) -> None:
    """In the same worker process, files that are whole."""
    for name in ("conv", "lstm", "conv-full-int8"):
        assert laboratory.outcome(RUN, name, damage.whole(name)).ok
        assert laboratory.outcome(INSPECT, name, damage.whole(name)).ok


def test_an_empty_or_truncated_file(laboratory: Laboratory) -> None:
    files = dict(truncated())
    assert len(files) == 20
    assert b"" in files.values()
    ran, looked = laboratory.each(RUN, iter(files.items())), laboratory.each(INSPECT, iter(files.items()))
    assert_verdicts(ran)
    assert_looked_into(looked)
    # Bytes of weights that are missing at the end are the only ones that a reader need not miss.
    assert all(outcome.kind == "exception" for name, outcome in looked.items() if "cut-at-0" in name)
    assert Counter(outcome.kind for outcome in ran.values())["exception"] >= 15
    assert_still_works(laboratory)


def test_flipped_bits(laboratory: Laboratory, flips: int) -> None:
    files = dict(flipped(flips))
    assert_verdicts(laboratory.each(RUN, iter(files.items())))
    assert_looked_into(laboratory.each(INSPECT, iter(files.items())))
    assert_still_works(laboratory)


@pytest.fixture
def flips(whole: bool) -> int:
    """How many files with flipped bits."""
    return 200 if whole else 40


def test_a_file_that_points_outside_itself(laboratory: Laboratory, whole: bool) -> None:
    files = dict(pointing_outside())
    few = dict(list(files.items())[:: 1 if whole else 4])
    assert_verdicts(laboratory.each(RUN, iter(few.items())))
    looked = laboratory.each(INSPECT, iter(files.items() if whole else few.items()))
    assert_looked_into(looked)
    for name, outcome in looked.items():
        # -1 is "none" for a tensor's index, and a shape is a claim, not a place.
        harmless = name.endswith("0xffffffff") or name.startswith("size-of-a-tensor")
        assert outcome.ok <= harmless, (name, outcome)
    assert_still_works(laboratory)


def test_a_small_file_that_would_be_huge_when_unpacked(laboratory: Laboratory) -> None:
    outcome = laboratory.outcome(INSPECT, "bomb", bomb())
    assert outcome.kind == "exception"
    assert outcome.message.startswith(
        "ValueError: model.tflite is a damaged TFLite file: ValueError: its parts take more"
    )
    assert outcome.peak_bytes < 300 << 20
    assert_still_works(laboratory)


CONTRACT = """
schema = 1

[model]
name = "toy"
framework = "numpy"
summary = "reads rows of gray"
adapter = "model.py:Toy"
images = "images"
calibration = "images"
routes = ["tf-lite"]

[weights.seeded]
recipe = "none"
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with the toy model of tests/data, as a user has it."""
    from PIL import Image

    folder = tmp_path / "models" / "toy"
    (folder / "images").mkdir(parents=True)
    shutil.copy(DATA / "toy" / "model.py", folder)
    (folder / "contract.toml").write_text(CONTRACT)
    for number in range(2):
        ramp = np.tile(np.arange(0, 256, 32, dtype=np.uint8), (8, 1))
        Image.fromarray(ramp.T if number else ramp).save(folder / "images" / f"{number}.png")
    (folder / "images" / "labels.tsv").write_text("0.png\tabcd\n1.png\tdcba\n")
    return folder.parent


def command(models: Path, temporary: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run our command as a user does."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ocr_conformance", *map(str, arguments)),
            *("--model=toy", f"--model-path={models}", f"--cache={models.parent / 'cache'}"),
        ],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * PATIENCE,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    shutil.rmtree(temporary / f"ocr-conformance-{os.getuid()}", ignore_errors=True)  # slots
    return done


def damaged(whole: bool) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "cut", dict(truncated())["conv-cut-at-10538"]
    outside = dict(pointing_outside())
    yield "outside", outside["bytes-of-a-buffer-0x7fffffff"]
    yield "code", outside["code-of-an-operator-0x7fffffff"]
    if whole:
        yield from list(pointing_outside())[::20]
        yield from list(flipped(200))[::20]


def test_the_command_says_what_ails_a_file(temporary: Path, models: Path, tmp_path: Path, whole: bool) -> None:
    file = tmp_path / "file.tflite"
    for name, content in damaged(whole):
        file.write_bytes(content)
        judged = command(models, temporary, "judge", file, "--json")
        assert judged.returncode in (0, 1), (name, judged.stdout + judged.stderr)
        results: dict[str, Any] = json.loads(judged.stdout)["results"]
        assert all("\n" not in result["message"] for result in results.values())
        if name in ("empty", "cut", "outside", "code"):
            assert results["conversion"]["verdict"] == "failed", name
            assert judged.returncode == 1
            assert {result["verdict"] for check, result in results.items() if check != "conversion"} == {"not-run"}
    read = command(models, temporary, "read", file, models / "toy" / "images" / "0.png")
    if not whole:  # the last of the few
        assert read.returncode == 1
        assert read.stderr.count("\n") == 1
        assert f"{file} as toy: run file.tflite: exception at allocate: ValueError: Missing registration" in read.stderr
    file.write_bytes((DATA / "conv.tflite").read_bytes())
    right = command(models, temporary, "read", file, models / "toy" / "images" / "0.png")
    assert right.returncode == 0, right.stderr
    assert not any((models.parent / "cache" / "tmp").iterdir())
    assert not processes(str(temporary))
