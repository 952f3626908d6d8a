"""Checks that read what running the artifact showed: preprocessing, latency, memory and repeatability."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ocr_conformance.checks import latency, memory, preprocessing, repeatability
from ocr_conformance.contract import (
    DeviceCeilings,
    LatencyLimits,
    Limits,
    MemoryLimits,
    PreprocessingLimits,
    RepeatabilityLimits,
)
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult

MakeEvidence = Callable[..., Evidence]
MakeOutcome = Callable[..., Outcome]
Judge = Callable[..., CheckResult]

SPEC = {"name": "image", "shape": [1, 2], "dtype": "float32", "low": 0.0, "high": 2.0}
FLOAT = {"name": "image", "declared_as": "image", "dtype": "float32", "scale": 0.0, "zero_point": 0}
INT8 = {**FLOAT, "dtype": "int8", "scale": 0.5, "zero_point": -128}
FED = np.array([[0.0, 1.0], [2.0, 1.0]])


@pytest.fixture
def prepared(reading: MakeEvidence, outcome: MakeOutcome) -> Judge:
    def judge(phone: Any, tensor: dict[str, Any] = FLOAT, **limits: float) -> CheckResult:
        evidence = reading(FED, FED)
        phone = phone if isinstance(phone, dict) else {"image": phone}
        evidence.inputs = outcome({"input_specs": [SPEC]}, inputs={"image": FED}, phone=phone)
        evidence.run = replace(evidence.run, facts={"inputs": [tensor]})
        return preprocessing.check(evidence, Limits(preprocessing=PreprocessingLimits(**limits)))

    return judge


def test_the_same_input_passes_at_a_limit_of_zero(prepared: Judge) -> None:
    result = prepared(FED, max_abs=0)
    assert (result.verdict, result.message) == (
        "passed",
        "the app's recipe feeds the same as the source for all 2 images",
    )


def test_a_difference_is_in_units_of_the_declared_range(prepared: Judge) -> None:
    phone = FED + np.array([[0, 0], [0, 0.5]])
    assert prepared(phone, max_abs=0.25).verdict == "passed"
    result = prepared(phone, max_abs=0.24)
    assert result.verdict == "failed"
    assert "the app's recipe is off by at most 0.25 of the input's range, for word-1.png" in result.message


def test_integer_inputs_are_compared_as_they_are_fed(prepared: Judge) -> None:
    assert prepared(FED + 0.2, INT8, max_abs=0).verdict == "passed"  # rounds to the same step
    assert prepared(FED + 0.3, INT8, max_abs=0.2).verdict == "failed"  # one step of 0.5 in a range of 2


def test_values_that_the_input_type_cannot_hold_are_counted(prepared: Judge) -> None:
    narrow = {**INT8, "scale": 1.0, "zero_point": 126}
    result = prepared(FED, narrow, clipped=0.25)
    assert result.verdict == "passed"
    assert "1 of 4 values are clipped" in result.message
    assert prepared(FED, narrow, clipped=0.2).verdict == "failed"


def test_what_is_clipped_alike_is_fed_alike(prepared: Judge) -> None:
    low = {**INT8, "scale": 0.001}  # up to 0.255: every 1 and 2 is clipped
    assert prepared(np.where(FED > 0, FED + 0.5, 0.0), low, max_abs=0).verdict == "passed"


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        (FED * np.nan, "NaN or infinite values, first for word-0.png"),
        (FED[:, :1], "shape [2, 1] by the app's recipe and [2, 2] by the source"),
        ({"picture": FED}, "the source feeds image, the app's recipe picture"),
    ],
)
def test_inputs_that_cannot_be_compared_fail(prepared: Judge, phone: Any, words: str) -> None:
    result = prepared(phone)
    assert result.verdict == "failed"
    assert words in result.message


def blocks_of(rng: np.random.Generator, ratio: float, blocks: int) -> dict[str, Any]:
    """What a look gives: rounds in blocks whose interpreters lie well or badly in memory."""
    placed = np.exp(rng.normal(0, 0.08, blocks))[:, None] * np.exp(rng.normal(0, 0.02, (blocks, 5)))
    ours, theirs = list((10 * ratio * placed).ravel()), [10.0] * (blocks * 5)
    facts = {"threads": 1, "rounds": blocks * 5, "blocks": [5] * blocks, "stopped": "budget", "runtime": "litert"}
    times = {"artifact_ms": ours, "artifact_cpu_ms": ours, "float32_ms": theirs, "float32_cpu_ms": theirs}
    return {**facts, **times, "source_timed": None}


def looked_at(reading: MakeEvidence, looks: list[dict[str, Any]], **limits: float) -> CheckResult:
    """The verdict on so many looks."""
    evidence = reading([[1.0]], [[1.0]])
    evidence.latency, *more = (Outcome("ok", "", facts=facts) for facts in looks)
    evidence.more_latency = tuple(more)
    return latency.check(evidence, Limits(latency=LatencyLimits(**limits)))


def test_looking_again_decides_wrongly_no_more_often_than_one_interval(reading: MakeEvidence) -> None:
    """At the limit itself every decision is wrong, and each look has a chance to make one."""
    rng = np.random.default_rng(0)
    verdicts, first = [], []
    for _ in range(200):
        looks = [blocks_of(rng, 1.0, 8)]
        result = first_result = looked_at(reading, looks, ratio_to_float32=1.0)
        for blocks in (25, 75):
            if result.verdict == "undecided":
                looks.append(blocks_of(rng, 1.0, blocks))
                result = looked_at(reading, looks, ratio_to_float32=1.0)
        verdicts.append(result.verdict)
        first.append(first_result.verdict)
    wrong = 1 - verdicts.count("undecided") / len(verdicts)
    assert 0 < wrong <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert 1 - first.count("undecided") / len(first) <= 0.05 / 3 + 2 * (0.016 * 0.984 / 200) ** 0.5


def test_looking_again_decides_what_one_look_cannot(reading: MakeEvidence) -> None:
    rng = np.random.default_rng(1)
    looks = [blocks_of(rng, 0.98, blocks) for blocks in (8, 25, 75)]
    verdicts = [looked_at(reading, looks[:count], ratio_to_float32=1.0).verdict for count in (1, 2, 3)]
    assert verdicts == ["undecided", "undecided", "passed"]
    result = looked_at(reading, looks, ratio_to_float32=1.0)
    assert (result.data["looks"], result.data["rounds"]) == (3, 540)
    assert "in 3 looks" in result.message
    assert [line.partition(",")[0] for line in result.details] == [
        f"{rounds} rounds in turns in {blocks} blocks" for rounds, blocks in ((40, 8), (125, 25), (375, 75))
    ]


def test_a_pair_of_interpreters_that_lies_badly_in_memory_fails_nothing(reading: MakeEvidence) -> None:
    times = [12.5 + 0.01 * number for number in range(40)]
    facts = {**blocks_of(np.random.default_rng(2), 1.0, 8), "artifact_cpu_ms": times}
    assert looked_at(reading, [{**facts, "blocks": None}], ratio_to_float32=1.1).verdict == "failed"  # 40 alike
    assert looked_at(reading, [{**facts, "blocks": [40]}], ratio_to_float32=1.1).verdict == "undecided"  # 1
    one_of_eight = [*times[:5], *[10.0] * 35]
    facts = {**facts, "artifact_cpu_ms": one_of_eight}
    assert looked_at(reading, [facts], ratio_to_float32=1.1).verdict == "undecided"
    more = {**facts, "artifact_cpu_ms": [10.0] * 40}
    assert looked_at(reading, [facts, more], ratio_to_float32=1.1).verdict == "passed"


@pytest.fixture
def timed(reading: MakeEvidence) -> Judge:
    def judge(
        ratio: float, *, noise: float = 0.0, rounds: int = 40, device: DeviceCeilings | None = None, **limits: float
    ) -> CheckResult:
        reference = 10 + np.sin(np.arange(rounds)) * 3
        ours = reference * ratio * (1 + noise * np.cos(np.arange(rounds) * 2.4))
        facts = {"threads": 1, "rounds": rounds, "stopped": "spread", "runtime": "litert", "load": [0.5, 1.0]}
        facts |= {"artifact_ms": list(ours), "artifact_cpu_ms": list(ours)}
        facts |= {"float32_ms": list(reference), "float32_cpu_ms": list(reference), "source_timed": None}
        evidence = reading([[1.0]], [[1.0]])
        evidence.latency = Outcome("ok", "", facts=facts)
        return latency.check(evidence, Limits(latency=LatencyLimits(**limits), device=device))

    return judge


@pytest.mark.parametrize(
    ("ratio", "noise", "verdict"),
    [(0.5, 0.05, "passed"), (1.0, 0.0, "passed"), (1.0, 0.3, "undecided"), (1.5, 0.05, "failed")],
)
def test_the_interval_of_the_ratio_decides(timed: Judge, ratio: float, noise: float, verdict: str) -> None:
    result = timed(ratio, noise=noise, ratio_to_float32=1.0 + 1e-9)
    assert result.verdict == verdict, result.message
    assert ("tightest that would have passed" in result.message) == (verdict != "passed")


def test_too_few_rounds_decide_nothing(timed: Judge) -> None:
    assert timed(0.1, rounds=3, ratio_to_float32=1.0).verdict == "undecided"


def test_a_reference_that_was_not_timed_is_not_judged(timed: Judge) -> None:
    result = timed(0.5, ratio_to_source=0.1)
    assert result.verdict == "passed"
    assert "source" not in result.message


def test_a_ceiling_belongs_to_a_named_device(timed: Judge) -> None:
    assert timed(1.0, device=DeviceCeilings(name="phone", latency_ms=20)).verdict == "passed"
    result = timed(1.0, device=DeviceCeilings(name="phone", latency_ms=5))
    assert result.verdict == "failed"
    assert "latency ms on phone" in result.message


def test_a_broken_ratio_is_not_hidden_by_an_undecided_one(timed: Judge) -> None:
    beyond, unclear = DeviceCeilings(name="phone", latency_ms=1), DeviceCeilings(name="phone", latency_ms=10)
    assert timed(1.0, noise=0.3, ratio_to_float32=1.0, device=beyond).verdict == "failed"
    assert timed(1.0, noise=0.3, ratio_to_float32=1.0, device=unclear).verdict == "undecided"
    assert timed(1.0, noise=0.3, ratio_to_float32=0.1, device=unclear).verdict == "failed"


MEMORY = {
    "growth_bytes": 1000, "anonymous_growth_bytes": 400, "file_bytes": 600, "peak_reset": True, "baseline_bytes": 1,
    "after_load_bytes": 2, "after_allocate_bytes": 3, "after_invoke_bytes": 4, "peak_bytes": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        (Limits(), "passed"),
        (Limits(memory=MemoryLimits(growth_bytes=1000)), "passed"),
        (Limits(memory=MemoryLimits(growth_bytes=999)), "failed"),
        (Limits(device=DeviceCeilings(name="phone", memory_bytes=999)), "failed"),
    ],
)
def test_memory(reading: MakeEvidence, limits: Limits, verdict: str) -> None:
    evidence = reading([[1.0]], [[1.0]])
    evidence.memory = Outcome("ok", "", facts=MEMORY)
    result = memory.check(evidence, limits)
    assert result.verdict == verdict
    assert ("= 1000" in result.message) == (verdict == "failed")


def test_a_peak_that_could_not_be_set_back_is_said(reading: MakeEvidence) -> None:
    evidence = reading([[1.0]], [[1.0]])
    evidence.memory = Outcome("ok", "", facts={**MEMORY, "peak_reset": False})
    assert "lower bound" in memory.check(evidence, Limits()).details[-1]


def scenario(scaled: float) -> dict[str, Any]:
    return {
        "scaled": scaled, "changed": 1 if scaled else 0, "first_texts": ["a", "b"],
        "worst": {"output": "softmax", "first": 0.93, "second": 0.01},
        "first_values": [0.93, 0.05], "second_values": [0.01, 0.9],
    }  # fmt: skip


@pytest.fixture
def repeated(reading: MakeEvidence) -> Judge:
    def judge(**scaled: float) -> CheckResult:
        names = ("second", "second-reset", "after-another", "after-another-reset", "reused", "threads-2")
        scenarios = {name: scenario(scaled.get(name.replace("-", "_"), 0.0)) for name in names}
        evidence = reading([[1.0]], [[1.0]])
        evidence.repeat = Outcome("ok", "", facts={"scenarios": scenarios, "samples": 2, "runtime": "litert"})
        wanted = RepeatabilityLimits(max_abs=1e-5, without_reset=1e-5, threads=1e-4)
        return repeatability.check(evidence, Limits(repeatability=wanted))

    return judge


def test_the_same_bits_each_time_pass(repeated: Judge) -> None:
    assert repeated().verdict == "passed"


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("second", "without_reset"),
        ("after_another", "without_reset"),
        ("second_reset", "max_abs"),
        ("after_another_reset", "max_abs"),
        ("reused", "max_abs"),
        ("threads_2", "threads"),
    ],
)
@pytest.mark.parametrize("by", [0.97, math.nan, math.inf])
def test_every_scenario_counts_and_shows_both_invokes(repeated: Judge, name: str, limit: str, by: float) -> None:
    result = repeated(**{name: by})
    assert result.verdict == "failed"
    assert [value.name for value in result.values if not value.holds] == [limit]
    assert "softmax was 0.93 in the first invoke and is 0.01" in result.message


def test_the_limit_itself_still_passes(repeated: Judge) -> None:
    assert repeated(second=1e-5, threads_2=1e-4).verdict == "passed"
    assert repeated(second=1.1e-5).verdict == "failed"
