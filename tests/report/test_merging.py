"""Several records in one: nothing is lost, and what does not agree is shown."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ocr_conformance import cli
from ocr_conformance.report import html, markdown, schema, table, terminal
from ocr_conformance.report.merging import merge

from .conftest import case, result

F32 = "m/tf-lite/float32@modern"


def test_shards(document: dict[str, Any]) -> None:
    one, two = ({**document, "cases": cases} for cases in (dict(_half(document, 0)), dict(_half(document, 1))))
    merged = merge([("one.json", one), ("two.json", two)])
    jsonschema.validate(merged, schema.json_schema())
    assert set(merged["cases"]) == set(document["cases"])
    assert [run["name"] for run in merged["runs"]] == ["one.json", "two.json"]
    assert merged["conflicts"] == []
    for name, known in merged["cases"].items():
        assert known["run"] == (0 if name in one["cases"] else 1)
        assert {**known, "run": 0} == document["cases"][name]


def _half(document: dict[str, Any], which: int) -> list[tuple[str, dict[str, Any]]]:
    return [item for number, item in enumerate(document["cases"].items()) if number % 2 == which]


def test_of_runs_that_agree_the_later_one_is_kept(document: dict[str, Any]) -> None:
    later = copy.deepcopy(document)
    for each, letter in ((document, "a"), (later, "b")):  # some converters write another file each time
        file = {"model": "m", "file": "model.tflite", "sha256": letter * 64, "bytes": 8_874_000}
        each["cases"][F32]["artifacts"] = [file]
    later["runs"][0]["started"] = "2026-11-26T00:00:00Z"
    for order, kept in (([document, later], 1), ([later, document], 0)):
        merged = merge([(str(number), each) for number, each in enumerate(order)])
        assert {known["run"] for known in merged["cases"].values()} == {kept}
        assert merged["conflicts"] == []


def test_checks_of_several_runs_come_together(document: dict[str, Any]) -> None:
    one, two = copy.deepcopy(document), copy.deepcopy(document)
    checks = document["cases"][F32]["checks"]
    one["cases"] = {F32: case(checks["conversion"], checks["size"], result("text", "skipped", "no toolchain"))}
    two["cases"] = {F32: case(checks["text"], result("accuracy", "failed", "worse"))}
    for order in ([("a", one), ("b", two)], [("b", two), ("a", one)]):
        merged = merge(order)
        assert merged["conflicts"] == []
        kept = merged["cases"][F32]
        assert {name: check["verdict"] for name, check in kept["checks"].items()} == {
            "conversion": "passed",
            "text": "passed",
            "accuracy": "failed",
            "size": "passed",
        }
        assert kept["verdict"] == "failed"


def test_what_one_environment_skips_and_another_judges_is_judged(document: dict[str, Any]) -> None:
    skipped = {**document, "cases": {F32: case(result("conversion", "skipped", "create it with `x`"))}}
    judged = {**document, "cases": {F32: document["cases"][F32]}}
    for order in ([("a", skipped), ("b", judged)], [("b", judged), ("a", skipped)]):
        merged = merge(order)
        assert merged["conflicts"] == []
        assert merged["cases"][F32]["verdict"] == "passed"
        assert merged["runs"][merged["cases"][F32]["run"]]["name"] == "b"


def test_milliseconds_and_memory_of_two_machines_are_no_conflict(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    for each, growth, low in ((document, 3e6, 0.5), (other, 9e6, 0.9)):
        checks = each["cases"][F32]["checks"]
        checks["memory"] = result("memory", "passed", growth_bytes=growth)
        checks["latency"]["data"] = {"intervals": {"ratio_to_source": [low, low + 0.1]}}
    assert merge([("a", document), ("b", other)])["conflicts"] == []


def test_a_model_that_passed_in_one_run_has_passed(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["runs"][0]["without_passed_mode"] = []
    other["cases"] = {"m/tf-lite/float16@modern": case(result("conversion", "passed"))}
    assert table.without_passed_mode(document) == ["m"]
    assert table.without_passed_mode(merge([("a", document), ("b", other)])) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda case, model: case["checks"].update(text=result("text", "passed", agreement=0.5)),
            "same text as the so",
        ),
        (lambda case, model: case["checks"].update(text=result("text", "failed")), "text passed / failed"),
        (lambda case, model: model.update(weights={"name": "mine", "sha256": "b" * 64}), "weights seeded / mine"),
    ],
)
def test_conflicts_are_shown_not_overwritten(document: dict[str, Any], change: Any, words: str) -> None:
    document["cases"] = {F32: document["cases"][F32]}
    other = copy.deepcopy(document)
    other["runs"][0]["started"] = "2026-11-26T00:00:00Z"
    change(other["cases"][F32], other["runs"][0]["models"]["m"])
    merged = merge([("a.json", document), ("b.json", other)])
    jsonschema.validate(merged, schema.json_schema())
    assert merged["cases"][F32] == document["cases"][F32]
    (conflict,) = merged["conflicts"]
    assert conflict["record"] == {**other["cases"][F32], "run": 1}
    (line,) = table.conflicts(merged)
    assert line.startswith(f"conflict: {F32} in a.json (kept) / in b.json: ")
    assert words in line
    for view in (
        markdown.render(merged),
        html.render(merged),
        " ".join(terminal.summary(merged, width=400, color=False)),
    ):
        assert words in view
    again = merge([("all.json", merged), ("c.json", {**document, "cases": {}})])  # and they stay when merged again
    assert again["conflicts"] == merged["conflicts"]
    assert [run["name"] for run in again["runs"]] == ["all.json: a.json", "all.json: b.json", "c.json"]


def test_the_command(document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json", "all.json")]
    other = copy.deepcopy(document)
    other["cases"][F32]["checks"]["size"] = result("size", "passed", bytes=1024.0)
    for path, each in zip(paths, (document, other), strict=False):
        path.write_text(json.dumps(each))
    assert cli.main(["merge", *map(str, paths[:1]), "-o", str(paths[2])]) == 0
    assert cli.main(["merge", *map(str, paths[:2]), "-o", str(paths[2])]) == 1
    out = capsys.readouterr().out
    assert f"wrote {paths[2]}: 5 cases of 2 runs, 6 passed, 3 failed" in out
    assert f"conflict: {F32} in {paths[0]} (kept) / in {paths[1]}: size 8,666 KB / 1.0 KB" in out
    assert schema.load(paths[2])["conflicts"]
    assert cli.main(["diff", str(paths[0]), str(paths[1])]) == 0
    assert "better" in capsys.readouterr().out
    assert cli.main(["diff", str(paths[1]), str(paths[0]), "-o", str(tmp_path / "d.json")]) == 1
    assert [each["direction"] for each in json.loads((tmp_path / "d.json").read_text())["changes"]] == ["worse"]
    assert cli.main(["merge", str(tmp_path / "none.json"), "-o", str(paths[2])]) == 4
    assert "none.json: cannot be read" in capsys.readouterr().err
    assert cli.main(["report", str(paths[0]), "-o", str(tmp_path / "run.doc")]) == 4
    assert "--output" in capsys.readouterr().err
    assert cli.main(["report", str(paths[0])]) == 0
    assert "11 checks ran" in capsys.readouterr().out


def test_the_summary_of_a_step(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record, summary = tmp_path / "run.json", tmp_path / "summary"
    record.write_text(json.dumps(document))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert cli.main(["report", str(record), "--github-summary"]) == 4
    assert "GITHUB_STEP_SUMMARY is not set" in capsys.readouterr().err
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert cli.main(["report", str(record), "--github-summary"]) == 0
    assert summary.read_text() == f"before\n{markdown.render(document)}\n"
