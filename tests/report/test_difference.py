"""What changed between two records: what counts, and which way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ocr_conformance.errors import UserError
from ocr_conformance.report import markdown
from ocr_conformance.report.difference import Change, compare, worse

from .conftest import case, result

F32 = "m/tf-lite/float32@modern"
INT8 = "m/tf-lite/int8@modern"


def changed(document: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> list[tuple[str, ...]]:
    """What is found where a record was changed: (case, what, before, after, direction) each."""
    new = copy.deepcopy(document)
    change(new)
    return [tuple(each.to_json().values()) for each in compare(document, new)]


def put(name: str, **values: float) -> Callable[[dict[str, Any]], None]:
    """Replace a check of the float32 case."""

    def change(document: dict[str, Any]) -> None:
        document["cases"][F32]["checks"][name] = result(name, "passed", **values)

    return change


def test_a_record_is_no_different_from_itself(document: dict[str, Any]) -> None:
    assert changed(document, lambda _: None) == []
    assert changed(document, lambda new: new["runs"][0].update(seconds=99.0, started="2027-01-01T00:00:00Z")) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (put("size", bytes=9_000_000.0), ("size", "8,666 KB", "8,789 KB", "worse")),
        (put("size", bytes=8_000_000.0), ("size", "8,666 KB", "7,812 KB", "better")),
        (put("text", agreement=1.0), ("same text as the source", "98.4 %", "100 %", "better")),
        (put("accuracy", accuracy=0.25, source_accuracy=0.75), ("accuracy", "50 %", "25 %", "worse")),
    ],
)
def test_numbers(document: dict[str, Any], change: Callable[[dict[str, Any]], None], found: tuple[str, ...]) -> None:
    assert changed(document, change) == [(F32, *found)]


def test_a_file_that_differs_by_its_metadata_is_no_larger(document: dict[str, Any]) -> None:
    assert changed(document, put("size", bytes=8_900_000.0)) == []


def test_of_what_fails_before_and_after_no_number_is_better_or_worse(document: dict[str, Any]) -> None:
    document["cases"][INT8] = case(result("text", "failed", agreement=0.2))

    def change(new: dict[str, Any]) -> None:
        new["cases"][INT8] = case(result("text", "failed", agreement=0.1))

    assert changed(document, change) == [(INT8, "same text as the source", "20 %", "10 %", "changed")]


def test_checks_that_a_failed_conversion_leaves_are_not_listed(document: dict[str, Any]) -> None:
    document["cases"][F32] = case(result("conversion", "failed"), result("text", "not-run"))

    def change(new: dict[str, Any]) -> None:
        new["cases"][F32] = case(result("conversion", "passed"), result("text", "passed"))

    assert changed(document, change) == [(F32, "verdict", "failed: conversion", "passed", "better")]


def test_of_other_images_another_share_is_neither_better_nor_worse(document: dict[str, Any]) -> None:
    def change(new: dict[str, Any]) -> None:
        put("text", agreement=0.5)(new)
        new["runs"][0]["models"]["m"]["images"] = {**new["runs"][0]["models"]["m"]["images"], "sha256": "d" * 64}

    found = changed(document, change)
    assert ("m", "images", "words (cccccccccccc)", "words (dddddddddddd)", "changed") in found
    assert (F32, "same text as the source", "98.4 %", "50 %", "changed") in found
    assert len(found) == 2


def test_verdicts(document: dict[str, Any]) -> None:
    mended = [result(name, "passed") for name in document["cases"][INT8]["checks"]]
    found = changed(document, lambda new: new["cases"].update({INT8: case(*mended)}))
    assert found == [(INT8, "verdict", "failed: tensors +2", "passed", "better")]
    broken = [result("conversion", "failed"), *(result(name, "not-run") for name in document["cases"][F32]["checks"])]
    back = changed(document, lambda new: new["cases"].update({F32: case(*broken[:1], *broken[2:])}))
    assert back == [(F32, "verdict", "passed", "failed: conversion", "worse")]


def test_a_check_that_is_gone_is_said(document: dict[str, Any]) -> None:
    found = changed(document, lambda new: new["cases"][F32]["checks"].pop("text"))
    assert found == [(F32, "text", "passed", "not judged", "changed")]


def test_a_check_that_fails_beside_others_is_said(document: dict[str, Any]) -> None:
    def change(new: dict[str, Any]) -> None:
        new["cases"][INT8]["checks"]["conversion"]["verdict"] = "undecided"

    assert changed(document, change) == [(INT8, "conversion", "passed", "undecided", "worse")]


@pytest.mark.parametrize(
    ("intervals", "direction"),
    [([0.95, 1.1], None), ([1.04, 1.5], None), ([1.2, 1.3], "worse"), ([0.5, 0.6], "better")],
)
def test_latency_is_noise_while_its_intervals_meet(
    document: dict[str, Any], intervals: list[float], direction: str | None
) -> None:
    checks = document["cases"][F32]["checks"]
    checks["latency"]["data"] = {"intervals": {"ratio_to_source": [0.9, 1.05], "latency_ms": [1.0, 2.0]}}

    def change(new: dict[str, Any]) -> None:
        known = {"ratio_to_source": intervals, "latency_ms": [100.0, 200.0]}  # of another machine
        new["cases"][F32]["checks"]["latency"]["data"] = {"intervals": known}

    assert [each[-1] for each in changed(document, change)] == ([] if direction is None else [direction])


def test_latency_of_what_fails_on_both_sides_or_of_other_weights_is_only_changed(document: dict[str, Any]) -> None:
    def change(new: dict[str, Any]) -> None:
        new["cases"][F32]["checks"]["latency"]["data"] = {"intervals": {"ratio_to_source": [2.0, 2.1]}}

    latency = document["cases"][F32]["checks"]["latency"]
    latency["data"] = {"intervals": {"ratio_to_source": [0.9, 1.05]}}
    assert [each[-1] for each in changed(document, change)] == ["worse"]
    latency["verdict"] = "failed"
    assert [each[-1] for each in changed(document, change)] == ["changed"]


@pytest.mark.parametrize(("growth", "direction"), [(10.9e6, None), (12e6, "worse"), (5e6, "better")])
def test_memory_is_noise_below_a_tenth(document: dict[str, Any], growth: float, direction: str | None) -> None:
    put("memory", growth_bytes=10e6)(document)
    found = changed(document, put("memory", growth_bytes=growth))
    assert [each[1:2] + each[4:] for each in found] == ([] if direction is None else [("memory", direction)])


def test_how_a_conversion_fails(document: dict[str, Any]) -> None:
    crashed = result("conversion", "unsupported", "crashes")
    crashed["data"] = {"kind": "signal", "stage": "convert", "hop": "tf-lite(int16x8)"}
    name = "m/unrolled/int16x8@modern"
    document["cases"][name] = case(crashed)

    def change(new: dict[str, Any]) -> None:
        new["cases"][name]["checks"]["conversion"]["data"]["kind"] = "exception"

    before, after = (f"{kind} at convert of tf-lite(int16x8)" for kind in ("signal", "exception"))
    assert changed(document, change) == [(name, "how it fails", before, after, "changed")]


def test_cases_that_came_or_went(document: dict[str, Any]) -> None:
    def change(new: dict[str, Any]) -> None:
        del new["cases"][F32]
        new["cases"]["m/other/float32@modern"] = case(result("size", "passed"))

    assert changed(document, change) == [
        ("m/other/float32@modern", "case", "not judged", "passed", "changed"),
        (F32, "case", "passed", "not judged", "changed"),
    ]


def test_another_toolchain_is_the_same_case_where_it_is_the_only_one(document: dict[str, Any]) -> None:
    old = {**document, "cases": {F32: document["cases"][F32]}}
    new = copy.deepcopy(document)
    new["cases"] = {"m/tf-lite/float32@tf99": new["cases"][F32]}
    put_size = new["cases"]["m/tf-lite/float32@tf99"]["checks"]
    put_size["size"] = result("size", "passed", bytes=1024.0)
    new["runs"][0]["toolchains"] = {
        "tf99": {**new["runs"][0]["toolchains"]["modern"], "versions": {"tensorflow": "99"}}
    }
    assert compare(old, new) == [
        Change("modern -> tf99", "versions", "tensorflow 2.21.0", "tensorflow 99", "changed"),
        Change("m/tf-lite/float32@tf99", "size", "8,666 KB", "1.0 KB", "better"),
    ]


def test_two_toolchains_of_one_record(document: dict[str, Any]) -> None:
    found = compare(document, document, ("modern", "tf215"))
    assert [each.direction for each in found if each.case == "m/tf-lite/int8@tf215"] == ["better"] + 5 * ["changed"]
    with pytest.raises(UserError, match="--toolchains nowhere: the record has no case in it, only in modern, tf215"):
        compare(document, document, ("modern", "nowhere"))


def test_nothing_in_common(document: dict[str, Any]) -> None:
    other = {**document, "cases": {"m/other/int8@modern": document["cases"][INT8]}}
    with pytest.raises(UserError, match="no case in common"):
        compare({**document, "cases": {F32: document["cases"][F32]}}, other)


def test_what_is_worse_comes_first(document: dict[str, Any]) -> None:
    def change(new: dict[str, Any]) -> None:
        put("text", agreement=1.0)(new)
        put("size", bytes=9e6)(new)
        del new["cases"]["m/tf-lite/int8@tf215"]

    assert [each[-1] for each in changed(document, change)] == ["worse", "better", "changed"]
    assert worse([Change("c", "size", "1", "2", "worse")])
    assert not worse([Change("c", "size", "2", "1", "better")])


def test_markdown_of_changes(document: dict[str, Any]) -> None:
    changes = [Change(F32, "size", "8 KB", "9 KB", "worse")]
    assert f"| {F32} | size | 8 KB | 9 KB | ❌ worse |" in markdown.difference(("a.json", "b.json"), changes)
    assert "Nothing changed beyond noise." in markdown.difference(("a.json", "b.json"), [])
    page = markdown.render(document, changes).splitlines()
    assert page.index("## Changes") < page.index("## m")
