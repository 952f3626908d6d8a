"""Views of a record: the terminal, Markdown, JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from markdown_it import MarkdownIt

from ocr_conformance import report
from ocr_conformance.conformance import Engine, Settings
from ocr_conformance.errors import UserError
from ocr_conformance.registry import Registry
from ocr_conformance.report import markdown, record, table, terminal
from ocr_conformance.report.difference import Change
from ocr_conformance.results import Verdict

from .conftest import case, judged, result


def test_terminal(document: dict[str, Any]) -> None:
    lines = terminal.summary(document, width=80, color=False)
    flat = " ".join(" ".join(lines).split())
    assert "m: weights seeded, 64 synthetic images" in flat
    assert "float32 passed 8,666 KB 100 % 1.00x 0.46x 98.4 % 50 % of 75 %" in flat
    assert "int8 failed: tensors" in flat
    assert "tf-lite/int8@modern failed: tensors: max_abs 0.4 > 0.1" in flat  # two toolchains: it is said which
    assert "(also text, size)" in flat
    assert "tf-lite/int8@tf215 undecided: accuracy: 64 labels cannot tell" in flat
    assert "unrolled/int16x8@modern unsupported: conversion: crashes" in flat
    assert "warning: contract.toml:9 matches no case" in flat
    # not-run is counted nowhere, and skipped is not among the checks that ran
    assert "11 checks ran: 6 passed, 3 failed, 1 undecided, 1 unsupported, 1 skipped; 3 jobs run" in flat
    assert "m: no mode beyond float32 passed" in flat
    assert "nothing was judged" not in flat
    order = [line.split()[0] for line in lines if line.strip().startswith(("float", "int", "tf-lite @", "unrolled @"))]
    assert order == ["tf-lite", "float32", "int8", "tf-lite", "int8", "unrolled", "float16", "int16x8"]


def test_what_a_search_found_stands_in_every_view(document: dict[str, Any]) -> None:
    passed = result("search", "passed", 'disagreement 3 of 500; "ab" read "ab" / "a" (/kept/1.png)')
    failed = result("search", "failed", "disagreement 300 of 500 (/kept/2.png)")
    failed["data"] = {"counterexample": {"file": "/kept/2.png"}}
    document["cases"]["m/tf-lite/float32@modern"]["checks"]["search"] = passed
    document["cases"]["m/tf-lite/int8@tf215"] = case(failed)
    lines = terminal.summary(document, width=80, color=False)
    assert 'tf-lite/float32@modern search passed: disagreement 3 of 500; "ab" read "ab" / "a" (/kept/1.png)' in lines
    assert "tf-lite/int8@tf215 search picture: /kept/2.png" in lines  # its finding has been told
    text = markdown.render(document)
    assert (
        '- `search of tf-lite/float32@modern` passed: disagreement 3 of 500; "ab" read "ab" / "a" (/kept/1.png)' in text
    )
    assert "- `search of tf-lite/int8@tf215` picture: /kept/2.png" in text


def test_terminal_names_no_toolchain_where_there_is_one(document: dict[str, Any]) -> None:
    del document["cases"]["m/tf-lite/int8@tf215"]
    assert "tf-lite/int8 failed: tensors" in " ".join(terminal.summary(document, width=200, color=False))


def test_terminal_in_color(document: dict[str, Any]) -> None:
    assert "\x1b[1;31mfailed" in "\n".join(terminal.summary(document, width=120, color=True))
    assert "\x1b" not in "\n".join(terminal.summary(document, width=120, color=False))


def test_a_run_from_the_cache_says_so(document: dict[str, Any]) -> None:
    document["runs"][0]["jobs_run"] = 0
    text = " ".join(terminal.summary(document, width=200, color=False))
    assert "all evidence came from the cache" in text


def test_nothing_judged(document: dict[str, Any]) -> None:
    document["cases"] = {"m/tf-lite/int8@modern": case(result("text", "skipped", "no toolchain"))}
    text = " ".join(terminal.summary(document, width=120, color=False))
    assert "0 checks ran" in text
    assert "nothing was judged" in text
    document["runs"][0]["jobs_run"] = 0
    text = " ".join(terminal.summary(document, width=120, color=False))
    assert "1 skipped; nothing converted or run" in text
    assert "cache" not in text, "there was nothing to come from it"


def test_markdown(document: dict[str, Any]) -> None:
    lines = markdown.render(document).splitlines()
    assert lines[2] == "6 passed, 3 failed, 1 undecided, 1 unsupported, 1 not-run, 1 skipped"
    assert "## m" in lines
    rows = [line for line in lines if line.startswith("| ")]
    columns = len(table.COLUMNS) + 1
    for row in rows:
        assert row.replace("\\|", "").count("|") == columns + 1, row
    assert (
        "| `tf-lite @modern` | float32 | ✅ passed | 8,666 KB | 100 % | 1.00x | 0.46x | 98.4 % | 50 % of 75 % |" in rows
    )
    assert "<details><summary>4 findings</summary>" in lines
    assert "- `m/tf-lite/int8@modern` tensors: max\\_abs 0.4 > 0.1 | at frame 3 and more (also text, size)" in lines
    assert lines[-1] == "> contract.toml:9 matches no case: it crashed once"


def test_markdown_of_a_strangers_record_is_text(document: dict[str, Any]) -> None:
    name = "<img src=x> ![a](https://x.org/a.png) @someone `b` _c_"
    document["runs"][0]["models"]["m"]["weights"]["name"] = name
    document["cases"]["m/tf-lite/int8@modern"]["checks"]["tensors"]["message"] = name
    page = MarkdownIt().enable("table").render(markdown.render(document, [Change("c", name, name, name, "worse")]))
    for tag in ("<img", "<a ", "<em>", "<code>b"):
        assert tag not in page
    assert "@someone" not in page


def test_markdown_renders(document: dict[str, Any]) -> None:
    page = (
        MarkdownIt().enable("table").render(markdown.render(document, [Change("a|b", "size", "1 KB", "2 KB", "worse")]))
    )
    assert page.count("<table>") == 2
    rows = [row.count("<td") for row in page.split("<tr>") if "<td" in row]
    assert rows == [5] + [len(table.COLUMNS) + 1] * len(document["cases"])
    assert "<td>a|b</td>" in page
    assert page.count("<li>") == 4


@pytest.mark.parametrize("suffix", [".json", ".md"])
def test_written_whole(document: dict[str, Any], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    path.write_text("before")
    report.write(document, path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    if suffix == ".json":
        assert json.loads(path.read_text()) == json.loads(json.dumps(document))
    else:
        assert path.read_text() == markdown.render(document)


def test_a_report_that_cannot_be_written(document: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        report.write(document, tmp_path / "nowhere" / "run.json")
    with pytest.raises(UserError, match="does not exist"):
        report.check_path(tmp_path / "nowhere" / "run.json")
    for name in ("run", "run.doc"):
        with pytest.raises(UserError, match="unknown format"):
            report.check_path(tmp_path / name)


def test_json_has_no_nan() -> None:
    found = record.finite({"a": [math.nan, math.inf, 1.5], "b": {"c": (-math.inf, "x", None, 2)}})
    assert found == {"a": [None, None, 1.5], "b": {"c": [None, "x", None, 2]}}
    checks = {"size": record.finite(result("size", "failed", bytes=math.nan))}
    assert record.value(checks, "size", "bytes") is None
    assert table.row("int8", case(checks["size"]))[2] == ""


DETECTOR = case(
    result("conversion", "passed"),
    result("size", "passed", bytes=20_480_000.0, ratio=0.25),
    result("latency", "passed", ratio_to_float32=0.5, ratio_to_source=1.25),
    result("boxes", "passed", precision=0.9, recall=0.95, precision_75=0.1, recall_75=0.2, mean_iou=0.3),
    result("accuracy", "passed", source_recall=0.1, recall=0.2, source_hmean=0.8, hmean=0.755, drop=0.05),
)
PIPELINE = case(
    result("conversion", "passed", detector_seconds=1.0, recognizer_seconds=2.0),
    result(
        "size", "passed", detector_bytes=80_000.0, detector_ratio=0.5, recognizer_bytes=20_000.0, recognizer_ratio=0.26
    ),
    result("latency", "passed", detector_ratio_to_float32=1.5, recognizer_ratio_to_float32=0.75),
    result("tensors", "passed", detector_cosine=0.9, recognizer_cosine=0.99),
    result("pipeline", "passed", same=0.875, cer=0.1, lost=0.05, invented=0.0),
    result("accuracy", "passed", source_hmean=0.9, hmean=0.85, source_found=1.0, found=0.95),
)


def test_columns() -> None:
    assert " | ".join(table.COLUMNS) == "mode | verdict | size | of f32 | latency | to source | as source | accuracy"
    assert len(table.row("int8", DETECTOR)) == len(table.row("int8", PIPELINE)) == len(table.COLUMNS)


def test_the_row_of_a_detector() -> None:
    assert table.row("int8", DETECTOR) == [
        *("int8", "passed", "20,000 KB", "25 %", "0.50x", "1.25x"),
        "95 % / 90 %",  # of the source's boxes that are found, of the found ones that are the source's
        "75.5 % of 80 %",
    ]


def test_the_row_of_a_pipeline_adds_its_parts_files_and_shows_the_rest_side_by_side() -> None:
    assert table.row("int8", PIPELINE) == [
        *("int8", "passed", "98 KB", "42.2 %", "1.50x+0.75x", "", "87.5 %", "85 % of 90 %"),
    ]  # fmt: skip


@pytest.mark.parametrize("known", [DETECTOR, PIPELINE], ids=["detector", "pipeline"])
def test_cells_of_what_was_not_measured_are_empty(known: dict[str, Any]) -> None:
    skipped = {
        **known["checks"],
        "accuracy": result("accuracy", "skipped", "seeded weights", source_hmean=0.0, hmean=0.0),
    }
    assert table.row("int8", {**known, "checks": skipped})[-1] == ""
    alone = {**known["checks"], "accuracy": result("accuracy", "passed", hmean=0.5)}  # of a file without its source
    assert table.row("int8", {**known, "checks": alone})[-1] == ""
    assert table.row("int8", case(result("conversion", "failed", "crashed")))[2:] == [""] * 6
    half = case(result("size", "not-run", detector_bytes=80_000.0, detector_ratio=0.5))  # the recognizer's crashed
    assert table.row("int8", half)[2:] == [""] * 6


def test_views_of_detectors_and_pipelines(document: dict[str, Any]) -> None:
    models = document["runs"][0]["models"]
    models |= {name: {**models["m"], "summary": name} for name in ("find", "pipeline:find+read")}
    document["cases"] = {"find/one/int8@modern": DETECTOR, "pipeline:find+read/one+two/int8@modern": PIPELINE}
    text = " ".join(" ".join(terminal.summary(document, width=160, color=False)).split())
    assert "to source as source accuracy" in text
    assert "int8 passed 20,000 KB 25 % 0.50x 1.25x 95 % / 90 % 75.5 % of 80 %" in text
    assert "one+ two @modern int8 passed 98 KB 42.2 % 1.50x+0.75x 87.5 % 85 % of 90 %" in text
    rows = markdown.render(document).splitlines()
    assert "## pipeline:find+read" in rows
    assert any("| 98 KB | 42.2 % | 1.50x+0.75x |  | 87.5 % | 85 % of 90 % |" in row for row in rows)


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["passed", "failed", "undecided"], "failed"),
        (["passed", "undecided", "unsupported"], "undecided"),
        (["unsupported", "passed"], "unsupported"),
        (["not-run", "skipped", "passed"], "passed"),
        (["not-run", "skipped"], "skipped"),
        (["not-run"], "not-run"),
    ],
)
def test_a_case_is_as_good_as_its_worst_check(verdicts: list[Verdict], worst: str) -> None:
    assert record.verdict([result("text", verdict) for verdict in verdicts]) == worst


def flat(*cases: tuple[str, Verdict]) -> list[dict[str, Any]]:
    return [{"case": name, "result": result(f"check{number}", each)} for number, (name, each) in enumerate(cases)]


@pytest.mark.parametrize(
    ("cases", "models"),
    [
        ([("m/r/float32@t", "passed")], []),  # no other mode was asked for
        ([("m/r/float32@t", "passed"), ("m/r/int8@t", "unsupported")], ["m"]),
        ([("m/r/int8@t", "passed"), ("m/r/int8@t", "failed")], ["m"]),
        ([("m/r/int8@t", "unsupported"), ("m/q/float16@t", "passed")], []),
        ([("m/r/int8@t", "unsupported"), ("m:v/r/int8@t", "passed")], []),  # variants are forms of one model
        ([("m/r/int8@t", "skipped"), ("m/r/float16@t", "not-run")], []),  # not judged: another error
        ([("m/r/int8@t", "passed"), ("n/r/int8@t", "failed")], ["n"]),
    ],
)
def test_models_without_a_passed_mode(cases: list[tuple[str, Verdict]], models: list[str]) -> None:
    assert record.without_passed_mode(flat(*cases)) == models
    assert record.judged(flat(*cases)) == any(verdict not in ("skipped", "not-run") for _, verdict in cases)


def test_the_record_keeps_the_engines_order(downstream: Path, tmp_path: Path) -> None:
    registry = Registry.built_in()
    registry.add_route(cast(Any, SimpleNamespace(name="pack", requires=(), hands_over=False)))
    registry.add_models(downstream / "models")
    settings = Settings(models=("reader",), modes=("float32", "int8"), cache=tmp_path / "c")
    with Engine(settings, registry) as engine:
        names = [str(each) for each in engine.cases]
        results = [{"case": name, "result": judged("size", "passed", bytes=math.nan)} for name in reversed(names)]
        found = record.document(engine, results, 1.0)
        lines = terminal.header(engine)
    assert list(found["cases"]) == names
    (run,) = found["runs"]
    assert run["models"]["reader"]["images"]["labelled"] == 6
    assert run["jobs_run"] == 0
    assert found["schema"] == record.SCHEMA
    json.dumps(found, allow_nan=False)
    assert lines[0].startswith("ocr reader: weights seeded (sha256 ")
    assert lines[-1] == f"ocr 2 cases, 24 checks; cache: {tmp_path / 'c'}"
