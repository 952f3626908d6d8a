"""Checks that read the file's facts: signature, ops and size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ocr_conformance.checks import ops, signature, size
from ocr_conformance.contract import Limits, OpsLimits, SignatureLimits, SizeLimits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult

MakeEvidence = Callable[..., Evidence]
Judge = Callable[..., CheckResult]

SPEC = {"name": "image", "shape": [1, 50, 200, 1], "dtype": "float32"}
OUT = {"name": "softmax", "shape": [1, 50, 20], "dtype": "float32"}


def tensor(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = {
        **spec, "tensor": "serving_default:0", "shape_signature": spec["shape"], "scale": 0.0, "zero_point": 0,
        "declared_as": spec["name"],
    }  # fmt: skip
    return found | changes


@pytest.fixture
def signed(reading: MakeEvidence) -> Judge:
    def judge(inputs: dict[str, Any], outputs: dict[str, Any], **limits: bool) -> CheckResult:
        evidence = reading([[1.0]], [[1.0]])
        evidence.inputs = Outcome("ok", "", facts={"input_specs": [SPEC], "output_specs": [OUT]})
        facts = {"inputs": [inputs], "outputs": [outputs], "signature_names": ["serving_default"]}
        evidence.run = replace(evidence.run, facts=facts)
        wanted = SignatureLimits(**({"names": True, "output_shape": True} | limits))
        return signature.check(evidence, Limits(signature=wanted))

    return judge


GOOD_IN, GOOD_OUT = tensor(SPEC), tensor(OUT, real_shape=[1, 50, 20])


def test_a_signature_as_declared_passes(signed: Judge) -> None:
    assert signed(GOOD_IN, GOOD_OUT).verdict == "passed"
    assert signed(tensor(SPEC, shape_signature=[-1, 50, 200, 1]), GOOD_OUT).verdict == "passed"
    assert signed(tensor(SPEC, dtype="int8", scale=0.004, zero_point=-128), GOOD_OUT).verdict == "passed"


@pytest.mark.parametrize(
    ("given", "gives", "words"),
    [
        (tensor(SPEC, name="input_1"), GOOD_OUT, "input image is called input_1 in the file"),
        (tensor(SPEC, shape_signature=[1, 200, 50, 1]), GOOD_OUT, "declared as [1, 200, 50, 1] in the file, the model"),
        (tensor(SPEC, dtype="int8"), GOOD_OUT, "input image is int8 without a quantization scale (scale 0)"),
        (tensor(SPEC, dtype="int8", scale=float("nan")), GOOD_OUT, "without a quantization scale (scale nan)"),
        (tensor(SPEC, dtype="float64"), GOOD_OUT, "input image is float64 in the file, the model declares float32"),
        # The published captcha artifact, FACTS section 9.
        (
            GOOD_IN,
            tensor(OUT, shape_signature=[1, 1, 20], real_shape=[1, 50, 20]),
            "output softmax is declared as [1, 1, 20] in the file and really has shape [1, 50, 20]",
        ),
        (GOOD_IN, tensor(OUT, real_shape=[1, 49, 20]), "really has shape [1, 49, 20], the model declares [1, 50, 20]"),
    ],
)
def test_what_differs_is_named(signed: Judge, given: dict[str, Any], gives: dict[str, Any], words: str) -> None:
    result = signed(given, gives)
    assert result.verdict == "failed"
    assert words in result.message


def test_names_and_declared_output_shapes_can_be_waived(signed: Judge) -> None:
    assert signed(tensor(SPEC, name="x"), GOOD_OUT, names=False).verdict == "passed"
    wrong = tensor(OUT, shape_signature=[1, 1, 20], real_shape=[1, 50, 20])
    assert signed(GOOD_IN, wrong, output_shape=False).verdict == "passed"
    assert signed(GOOD_IN, {**wrong, "real_shape": [1, 1, 20]}, output_shape=False).verdict == "failed"


OPS = [
    {"name": "CONV_2D", "kind": "builtin", "version": 3, "count": 4},
    {"name": "FlexCTCGreedyDecoder", "kind": "flex", "version": 1, "count": 1},
    {"name": "Mine", "kind": "custom", "version": 1, "count": 1},
]


USES = [{**op, "inputs": [], "outputs": [], "options": {}, "half": False, "macs": 0} for op in OPS]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, ""),
        ({"flex": True, "custom": ["Mine"], "denied": [], "allowed": ["*"], "runtime_max": "2.15.0"}, ""),
        ({"flex": False}, "needs Select-TF (Flex) ops FlexCTCGreedyDecoder"),
        ({"custom": []}, "needs custom ops Mine"),
        ({"custom": ["Other"]}, "needs custom ops Mine"),
        ({"denied": ["CONV*"]}, "has denied ops CONV_2D"),
        ({"allowed": ["CONV_2D", "Flex*"]}, "has ops that are not allowed: Mine"),
        ({"allowed": []}, "not allowed: CONV_2D, FlexCTCGreedyDecoder, Mine"),
        ({"runtime_max": "2.9.1"}, "needs runtime 2.15.0 > 2.9.1 (the tightest that would have passed"),
    ],
)
def test_ops(reading: MakeEvidence, limits: dict[str, Any], words: str) -> None:
    evidence = reading([[1.0]], [[1.0]])
    evidence.inspect = Outcome("ok", "", facts={"ops": OPS, "uses": USES, "min_runtime": "2.15.0"})
    result = ops.check(evidence, Limits(ops=OpsLimits(**limits)))
    assert (result.verdict == "failed") == bool(words)
    assert words in result.message
    assert "6 ops of 3 kinds (1 Flex, 1 custom), minimum runtime 2.15.0" in result.message


def test_an_unwritten_minimum_runtime_is_said_and_an_unreadable_one_fails(reading: MakeEvidence) -> None:
    evidence = reading([[1.0]], [[1.0]])
    for runtime, verdict in (("", "passed"), ("soon", "failed")):
        evidence.inspect = Outcome("ok", "", facts={"ops": [], "uses": [], "min_runtime": runtime})
        assert ops.check(evidence, Limits(ops=OpsLimits(runtime_max="2.21.0"))).verdict == verdict


@pytest.fixture
def sized(reading: MakeEvidence) -> Judge:
    def judge(
        count: int, stored: int, *, mode: str = "int8", baseline: int | None = 4000, **limits: Any
    ) -> CheckResult:
        evidence = reading([[1.0]], [[1.0]], mode=mode)  # 1000 parameters
        evidence.inspect = Outcome("ok", "", facts={"bytes": count, "weights": {"bytes": stored}})
        if baseline is not None:
            evidence.baseline_inspect = Outcome("ok", "", facts={"bytes": baseline})
        return size.check(evidence, Limits(size=SizeLimits(**limits)))

    return judge


def test_size_within_the_budget_passes_and_one_byte_more_fails(sized: Judge) -> None:
    assert sized(1100, 1000, bytes=1100, ratio=0.275, bytes_per_parameter=1.0).verdict == "passed"
    result = sized(1101, 1000, bytes=1100)
    assert result.verdict == "failed"
    assert "the tightest that would have passed: bytes = 1101" in result.message


def test_a_file_without_its_weights_fails(sized: Judge) -> None:
    result = sized(92, 20, bytes=1100, bytes_per_parameter=0.9)
    assert result.verdict == "failed"
    assert "bytes_per_parameter 0.02 B < 0.9 B" in result.message


def test_a_quantized_file_larger_than_float_fails_without_any_limit(sized: Judge) -> None:
    assert sized(4001, 4000).verdict == "failed"
    assert sized(4000, 4000).verdict == "passed"
    assert sized(4001, 4000, mode="float32").verdict == "passed"


def test_a_missing_float32_artifact_is_said(sized: Judge) -> None:
    assert "no float32 artifact to compare with" in sized(1000, 900, baseline=None, ratio=0.1).message


def test_a_file_far_below_its_budget_asks_for_a_tighter_one(sized: Judge) -> None:
    result = sized(1000, 900, bytes=2000)
    assert result.verdict == "passed"
    assert "well below the budget of 2 kB: tighten it" in result.message
    assert "tighten" not in sized(1700, 900, bytes=2000).message
