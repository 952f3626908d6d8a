"""The mode check: a file must be what its mode says, by definition and by the contract's minima."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ocr_conformance.cases import MODES
from ocr_conformance.checks.mode import check
from ocr_conformance.contract import EffectLimits, Limits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult

MakeEvidence = Callable[..., Evidence]


def facts(
    macs: dict[str, int], weights: dict[str, int], io: str = "float32", float_tensors: int = 9, **more: Any
) -> dict[str, Any]:
    counts = {"float": 0, "hybrid": 0, "integer": 0, "integer16": 0} | macs
    counts["total"] = counts["float"] + counts["hybrid"] + counts["integer"]
    tensor = {"name": "x", "dtype": io}
    return {
        "macs": counts | {"by_op": {"CONV_2D": counts}, "unknown_loops": 0, "uncertain_ops": 0},
        "weights": {"by_dtype": weights, "bytes": sum(weights.values())},
        "inputs": [tensor],
        "outputs": [tensor],
        "float_tensors": float_tensors,
        "anomalies": [],
    } | more


SOUND = {
    "float32": facts({"float": 100}, {"FLOAT32": 400}),
    "float16": facts({"float": 100}, {"FLOAT16": 200, "FLOAT32": 4}),
    "dynamic-range": facts({"hybrid": 90, "float": 10}, {"INT8": 100, "FLOAT32": 10}),
    "int8": facts({"integer": 90, "float": 10}, {"INT8": 100, "INT32": 10}),
    "full-int8": facts({"integer": 100}, {"INT8": 100, "INT32": 10}, io="int8", float_tensors=0),
    "int16x8": facts({"integer": 100, "integer16": 100}, {"INT8": 100, "INT64": 10}, float_tensors=2),
}
LIMITS = {
    "float16": EffectLimits(float16_weights=0.9),
    "dynamic-range": EffectLimits(hybrid_macs=0.9, integer_weights=0.9),
    "int8": EffectLimits(integer_macs=0.9, integer_weights=1.0),
    "full-int8": EffectLimits(integer_macs=1.0, float_tensors=0),
    "int16x8": EffectLimits(integer_macs=1.0),
}


@pytest.fixture
def judged(reading: MakeEvidence) -> Callable[[str, dict[str, Any]], CheckResult]:
    def judge(mode: str, found: dict[str, Any]) -> CheckResult:
        evidence: Evidence = reading([[1.0]], [[1.0]], mode=mode)
        evidence.inspect = Outcome("ok", "", facts=found)
        return check(evidence, Limits(effect=LIMITS.get(mode, EffectLimits())))

    return judge


@pytest.mark.parametrize("mode", MODES)
def test_a_sound_file_passes_in_its_mode_and_in_no_other(judged: Callable[..., CheckResult], mode: str) -> None:
    # What is integer only also satisfies every demand of int8 but its float inputs and outputs.
    assert {other for other in MODES if judged(other, SOUND[mode]).verdict == "passed"} == {mode}


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "float32"])
def test_a_float_file_fails_in_every_quantized_mode(judged: Callable[..., CheckResult], mode: str) -> None:
    assert judged(mode, SOUND["float32"]).verdict == "failed"


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "float32"])
def test_a_file_without_arithmetic_or_weights_proves_nothing(judged: Callable[..., CheckResult], mode: str) -> None:
    empty = facts({}, {}, io=SOUND[mode]["inputs"][0]["dtype"], float_tensors=0)
    assert judged(mode, empty).verdict == "failed"


def test_full_int8_with_float_io_says_so(judged: Callable[..., CheckResult]) -> None:
    result = judged("full-int8", {**SOUND["full-int8"], "inputs": [{"name": "image", "dtype": "float32"}]})
    assert "the file is not full-int8: input image is float32" in result.message


def test_one_float_activation_is_too_many_for_full_int8(judged: Callable[..., CheckResult]) -> None:
    result = judged("full-int8", {**SOUND["full-int8"], "float_tensors": 1})
    assert result.verdict == "failed"
    assert "1 activations are float: float_tensors 1 > 0" in result.message


def test_decoded_indices_may_be_whole_numbers(judged: Callable[..., CheckResult]) -> None:
    assert judged("int8", {**SOUND["int8"], "outputs": [{"name": "ids", "dtype": "int64"}]}).verdict == "passed"


def test_the_minimum_that_would_have_passed_is_named(judged: Callable[..., CheckResult]) -> None:
    result = judged("int8", facts({"integer": 40, "float": 60}, {"INT8": 100}))
    assert "integer_macs 0.4 < 0.9 (the tightest that would have passed: integer_macs = 0.4)" in result.message
    assert "60% float, 0% hybrid, 40% integer" in result.message


def test_suspicious_quantization_parameters_are_shown(judged: Callable[..., CheckResult]) -> None:
    anomaly = {"tensor": "theta", "problem": "3 of 6 bias values are saturated"}
    assert "suspicious: theta: 3 of 6 bias" in judged("int8", {**SOUND["int8"], "anomalies": [anomaly]}).details[-1]
