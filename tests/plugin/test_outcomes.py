"""What a user of the plugin sees: collection, verdicts as outcomes, tables, counts and exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_conformance.report import schema
from ocr_conformance.report.table import kilobytes

from .conftest import without_times

Judge = Callable[..., pytest.RunResult]


def test_a_repository_that_reexports_the_suite_judges_its_own_models(judge: Judge) -> None:
    result = judge("-q")
    result.assert_outcomes(passed=72)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*reader: weights seeded, 6 user images*", "*float32*passed*", "*full-int8*passed*"])
    result.stdout.fnmatch_lines(["72 checks ran: 72 passed, 0 failed, 0 undecided, 0 unsupported, 0 skipped*"])
    assert "keras-ocr" not in result.stdout.str()


def test_a_second_run_judges_from_the_cache(judge: Judge) -> None:
    judge("-q", "--ocr-mode=float32")
    result = judge("-q", "--ocr-mode=float32")
    result.assert_outcomes(passed=12)
    assert "nothing converted or run" in " ".join(result.outlines)


def test_a_changed_tolerance_is_judged_anew_without_converting(judge: Judge, downstream: Path) -> None:
    judge("-q", "--ocr-mode=float16", "--ocr-check=tensors")
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(contract.read_text() + "\n[[promise]]\nmode = 'float16'\ntensors = { max_abs = 1e-9 }\n")
    result = judge("-q", "--ocr-mode=float16", "--ocr-check=tensors")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*max_abs * > 1e-09*tightest that would have passed*"])
    assert "nothing converted or run" in " ".join(result.outlines)


def test_five_ways_to_fail_are_five_outcomes(judge: Judge) -> None:
    result = judge("-q", "--ocr-model=reader:faulty", "--ocr-timeout=8", "--ocr-memory=600")
    assert result.ret == 1
    text = " ".join(result.stdout.str().split())
    assert "pack(float16) was killed by SIGSEGV" in text
    assert "pack(dynamic-range) ran out of time: still running after 8 s" in text
    assert "pack(int8) ran out of memory: more than 600 MB" in text
    assert "pack(full-int8) raised ValueError: 'toy.Relu6' op is neither a custom op nor a flex op" in text
    assert "pack(int16x8) was killed by SIGABRT" in text
    # float32 passes its 12 checks; the claimed crash is xfailed; of each failed case 11 checks were not run
    result.assert_outcomes(passed=12, failed=4, xfailed=1, skipped=55)
    assert "pack/float16 unsupported: conversion: the converter crashes" in text
    assert "https://example.org/issues/1" in text


def test_a_case_that_did_not_convert_fails_whatever_check_was_asked(judge: Judge) -> None:
    result = judge("-q", "--ocr-model=reader:faulty", "--ocr-mode=full-int8", "--ocr-check=text")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*pack(full-int8) raised ValueError*"])


def test_garbage_is_unsupported_only_as_claimed(judge: Judge, downstream: Path) -> None:
    result = judge("-q", "--ocr-model=reader:garbage", "--ocr-mode=int8", "--ocr-check=t*")
    result.assert_outcomes(xfailed=2)
    assert "converts, runs, reads garbage" in " ".join(result.outlines)
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(contract.read_text().replace('fault = "garbage"', 'fault = ""'))
    healed = judge("-q", "--ocr-model=reader:garbage", "--ocr-mode=int8", "--ocr-check=t*")
    healed.assert_outcomes(failed=2)
    assert "delete the entry" in " ".join(healed.outlines)


def test_unsupported_is_red_where_xfail_is_switched_off(judge: Judge) -> None:
    result = judge("-q", "--runxfail", "--ocr-model=reader:garbage", "--ocr-mode=int8", "--ocr-check=text")
    assert result.ret == 1


def test_state_between_invokes_is_seen(judge: Judge) -> None:
    result = judge("-q", "--ocr-model=reader:leaky", "--ocr-mode=float32", "--ocr-check=repeatability")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*without_reset 0.9999 > 1e-05*"])


def test_undecided_is_a_category_of_its_own_and_fails(judge: Judge) -> None:
    # 6 images cannot tell whether 6 lost words are within 10 points
    result = judge("-q", "--ocr-model=reader:garbage", "--ocr-mode=int8", "--ocr-check=accuracy")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1 undecided*"])


MADE_UP_TIMES = """

def latency(job):
    wide, near, far = [0.8, 1.5] * 10, [1.0, 1.01] * 100, [1.4, 1.41] * 100
    ratios = {ratios}[job.params["budget_seconds"]]
    one = [1.0] * len(ratios)
    times = {{"artifact_ms": ratios, "artifact_cpu_ms": ratios, "float32_ms": one, "float32_cpu_ms": one}}
    return {{**times, "threads": 1, "rounds": len(ratios), "stopped": "budget", "runtime": "numpy"}}
"""


@pytest.mark.parametrize(
    ("ratios", "verdict", "rounds"),
    [
        ("{3: near}", "passed", [200]),
        ("{3: wide, 10: far}", "failed", [20, 200]),
        ("{3: wide, 10: wide, 30: near}", "passed", [20, 20, 200]),
        ("{3: wide, 10: wide, 30: wide}", "undecided", [20, 20, 20]),
    ],
)
def test_undecided_latency_is_looked_at_again_up_to_the_last_time(
    judge: Judge, downstream: Path, ratios: str, verdict: str, rounds: list[int]
) -> None:
    contract, hops = downstream / "models" / "reader" / "contract.toml", downstream / "hops.py"
    contract.write_text(contract.read_text() + "\n[[promise]]\nmode = 'int8'\nlatency = { ratio_to_float32 = 1.1 }\n")
    hops.write_text(hops.read_text() + MADE_UP_TIMES.format(ratios=ratios))
    arguments = ("-q", "--ocr-mode=int8", "--ocr-check=latency", "--ocr-report=run.json")
    result = judge(*arguments)
    assert result.ret == (0 if verdict == "passed" else 1)
    result.stdout.fnmatch_lines([f"1 checks ran: *1 {verdict}*"])
    (case,) = json.loads((downstream / "run.json").read_text())["cases"].values()
    found = case["checks"]["latency"]
    assert (found["verdict"], found["data"]["looks"], found["data"]["rounds"]) == (verdict, len(rounds), sum(rounds))
    assert [line.partition(" ")[0] for line in found["details"]] == [str(count) for count in rounds]
    assert (f"in {len(rounds)} looks" in found["message"]) == (len(rounds) > 1)
    assert ("cannot be told from 1.1" in found["message"]) == (verdict == "undecided")
    again = judge(*arguments)  # each look is evidence of its own
    assert "nothing converted or run" in " ".join(again.outlines)
    result.stdout.fnmatch_lines([f"1 checks ran: *1 {verdict}*"])


def test_node_ids_are_stable_and_selectable(judge: Judge) -> None:
    node = "ocr::test_conformance[reader/pack/int8@"
    listed = judge("--collect-only", "-q", "--ocr-model=reader", "--ocr-mode=int8", "--ocr-check=text")
    found = next(line for line in listed.outlines if line.startswith(node))
    assert found.endswith("-text]")
    assert "site-packages" not in found
    result = judge("-q", found)
    result.assert_outcomes(passed=1)
    by_k = judge("-q", "--ocr-model=reader", "-k", "pack/int8 and text")
    by_k.assert_outcomes(passed=1, deselected=71)


def test_with_a_model_and_no_paths_only_conformance_runs(judge: Judge, downstream: Path) -> None:
    (downstream / "test_other.py").write_text("def test_other(): pass\n")
    result = judge("-q", "--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=text")
    result.assert_outcomes(passed=1)


def test_an_ini_value_narrows_and_does_not_replace_paths(judge: Judge, downstream: Path) -> None:
    (downstream / "test_other.py").write_text("def test_other(): pass\n")
    (downstream / "pytest.ini").write_text(
        "[pytest]\nocr_model_paths = models\nocr_mode = float32 float16\nocr_check = text\nocr_model = reader\n"
    )
    result = judge("-q")
    result.assert_outcomes(passed=3)


def test_nothing_judged_is_an_error(judge: Judge, downstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(downstream / "cache"))  # no created toolchain
    contract = downstream / "models" / "reader" / "contract.toml"
    contract.write_text(
        contract.read_text().replace('routes = ["pack"]', 'routes = ["pack"]\nrequires = ["tensorflow==2.15.1"]')
    )
    result = judge("-q", "--ocr-model=reader")
    assert result.ret == 5
    assert "ocr-conformance toolchain create tf215" in " ".join(result.outlines)


def test_a_model_without_a_passed_mode_beyond_float32_fails(judge: Judge, downstream: Path) -> None:
    contract = downstream / "models" / "reader" / "contract.toml"
    claim = "[[unsupported]]\nvariant = 'leaky'\ncheck = 'repeatability'\nwhy = 'keeps its state'\n"
    contract.write_text(f"{contract.read_text()}\n{claim}")
    result = judge("-q", "--ocr-model=reader:leaky")
    result.assert_outcomes(passed=66, xfailed=6)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["reader: no mode beyond float32 passed"])
    narrowed = judge("-q", "--ocr-model=reader:leaky", "--ocr-check=repeatability")
    assert narrowed.ret == 0


def test_a_failed_conversion_is_seen_though_it_was_deselected(judge: Judge) -> None:
    result = judge("-q", "--ocr-model=reader:faulty", "--ocr-mode=float32", "--ocr-mode=full-int8", "-k", "text")
    result.assert_outcomes(passed=1, failed=1, deselected=22)


def test_a_repository_may_deselect_its_suite(judge: Judge, downstream: Path) -> None:
    (downstream / "test_other.py").write_text("import pytest\n\n@pytest.mark.ocr\ndef test_other(): pass\n")
    result = judge("-q", "-k", "test_other")
    result.assert_outcomes(passed=1, deselected=72)
    assert result.ret == 0


def test_ini_paths_are_relative_to_the_ini_file(
    judge: Judge, downstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (downstream / "pytest.ini").write_text(
        "[pytest]\nocr_model_paths = models\nocr_images = models/reader/squares-calibration\n"
    )
    below = downstream / "models"
    monkeypatch.chdir(below)
    result = judge("-q", "..", "--ocr-mode=float32", "--ocr-check=text")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["reader: weights seeded, 3 user images"])


def test_a_report_that_cannot_be_written_fails_the_run(judge: Judge, downstream: Path) -> None:
    (downstream / "reports").mkdir()
    target = downstream / "reports" / "run.json"
    (downstream / "conftest.py").write_text(
        (downstream / "conftest.py").read_text()
        + f"\n\ndef pytest_runtest_teardown():\n    __import__('shutil').rmtree({str(target.parent)!r}, True)\n"
    )
    result = judge("-q", "--ocr-mode=float32", "--ocr-check=text", f"--ocr-report={target}")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*--ocr-report*cannot be written*"])


def test_reports(judge: Judge, downstream: Path) -> None:
    result = judge("-q", "--ocr-mode=float32", *(f"--ocr-report=run.{suffix}" for suffix in ("json", "md", "html")))
    assert result.ret == 0
    record = json.loads((downstream / "run.json").read_text())
    (case,) = record["cases"]
    assert case.startswith("reader/pack/float32@")
    text = record["cases"][case]["checks"]["text"]
    assert text["verdict"] == "passed"
    agreement = {"name": "agreement", "measured": 1.0, "limit": 1.0, "most": False, "unit": "", "tightest": 1.0}
    assert agreement in text["values"]
    assert record["runs"][0]["models"]["reader"]["weights"]["name"] == "seeded"
    assert [(hop["name"], hop["kind"]) for hop in record["cases"][case]["hops"]] == [("pack(float32)", "ok")]
    (artifact,) = record["cases"][case]["artifacts"]
    assert artifact["model"] == "reader"
    assert artifact["bytes"] == record["cases"][case]["checks"]["size"]["values"][0]["measured"]
    assert schema.load(downstream / "run.json") == record
    assert "| float32 | ✅ passed |" in (downstream / "run.md").read_text()
    assert f'id="{case}"' in (downstream / "run.html").read_text()


def test_two_identical_runs_differ_only_in_times(judge: Judge, downstream: Path, tmp_path: Path) -> None:
    records = []
    for name in ("first", "second"):
        judge("-q", "--ocr-mode=float32", "--ocr-mode=int8", f"--ocr-report={name}.json", cache=tmp_path / name)
        text = (downstream / f"{name}.json").read_text().replace(str(tmp_path / name), "CACHE")
        records.append(without_times(json.loads(text)))
    assert records[0] == records[1]


def test_what_changed_since_an_earlier_run(judge: Judge, downstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(downstream / "summary.md"))
    judge("-q", "--ocr-mode=int8", "--ocr-check=text", "--ocr-check=size", "--ocr-report=old.json")
    old = json.loads((downstream / "old.json").read_text())
    (case,) = old["cases"]
    size = old["cases"][case]["checks"]["size"]["values"][0]
    now, size["measured"] = size["measured"], 2 * size["measured"]
    (downstream / "old.json").write_text(json.dumps(old))
    arguments = ("-q", "--ocr-mode=int8", "--ocr-check=text", "--ocr-check=size", "--ocr-baseline=old.json")
    result = judge(*arguments, "--ocr-report=run.html", "--ocr-github-summary")
    result.stdout.fnmatch_lines([f"*{case}*size*{kilobytes(2 * now)}*{kilobytes(now)}*better*"])
    assert f"| {case} | size | " in (downstream / "summary.md").read_text()
    assert 'id="changes"' in (downstream / "run.html").read_text()


def test_junit_properties(judge: Judge, downstream: Path) -> None:
    judge("-q", "--ocr-mode=float32", "--ocr-check=text", "--junitxml=junit.xml")
    junit = (downstream / "junit.xml").read_text()
    assert '<property name="ocr_verdict" value="passed"' in junit
    assert '<property name="ocr_agreement" value="1.0"' in junit
    assert '<property name="ocr_agreement_limit" value="1.0"' in junit
    assert '<property name="ocr_case" value="reader/pack/float32@' in junit


def test_artifacts_are_handed_out_with_manifests(judge: Judge, downstream: Path) -> None:
    judge("-q", "--ocr-mode=int8", "--ocr-check=conversion", "--ocr-artifacts=out")
    (manifest,) = (downstream / "out").rglob("*.json")
    known = json.loads(manifest.read_text())
    artifact = manifest.with_suffix(".bin")
    import hashlib

    assert known["sha256"] == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert known["case"].startswith("reader/pack/int8@")


def test_the_header_says_what_was_used(judge: Judge, evidence: Path) -> None:
    result = judge("--ocr-model=reader", "--ocr-mode=float32", "--ocr-check=text")
    result.stdout.fnmatch_lines(
        ["ocr reader: weights seeded (sha256 *), 6 user images (squares), calibrated on 3 *", f"*cache: {evidence}"]
    )


@pytest.mark.parametrize("distribution", ["load", "loadscope", "worksteal", "each"])
def test_xdist_gives_the_same_verdicts(judge: Judge, distribution: str) -> None:
    pytest.importorskip("xdist")
    arguments = (
        ("--tx", "2*popen", f"--dist={distribution}") if distribution == "each" else ("-n2", f"--dist={distribution}")
    )
    result = judge("-q", *arguments)
    result.assert_outcomes(passed=144 if distribution == "each" else 72)
    result.stdout.fnmatch_lines(["72 checks ran: 72 passed*"])
    assert sum("reader: weights seeded" in line for line in result.outlines) == 1


def test_xdist_from_nothing(judge: Judge, tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    result = judge("-q", "-n2", "--ocr-mode=*int8", cache=tmp_path / "fresh")
    result.assert_outcomes(passed=24)
    assert "nothing converted or run" not in " ".join(result.outlines)
    converted = set((tmp_path / "fresh" / "entries").glob("*/*/model.bin"))
    assert len(converted) == 3  # float32 (the baseline), int8, full-int8: each once


def test_no_cache_leaves_nothing(judge: Judge, downstream: Path, evidence: Path) -> None:
    result = judge("-q", "--ocr-no-cache", "--ocr-mode=float32", "--ocr-check=text")
    result.assert_outcomes(passed=1)
    assert "nothing converted or run" not in " ".join(result.outlines)
