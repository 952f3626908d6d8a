"""Where a file would run: the rules of the delegates one by one, and what a contract may demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ocr_conformance import targets
from ocr_conformance.cases import Case
from ocr_conformance.checks import ops
from ocr_conformance.claims import apply_claims
from ocr_conformance.contract import Limits, OpsLimits, Unsupported
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult

MakeEvidence = Callable[..., Evidence]
MakeOutcome = Callable[..., Outcome]
Tensor = dict[str, Any]


def tensor(shape: list[int], dtype: str = "FLOAT32", role: str = "computed") -> Tensor:
    return {"dtype": dtype, "shape": shape, "role": role}


def constant(shape: list[int], dtype: str = "FLOAT32") -> Tensor:
    return tensor(shape, dtype, "constant")


def use(
    name: str, inputs: list[Tensor | None], output: Tensor, *, kind: str = "builtin", **more: Any
) -> dict[str, Any]:
    found = {"version": 1, "options": {}, "half": False, "count": 1, "macs": 0, **more}
    return {"name": name, "kind": kind, "inputs": inputs, "outputs": [output], **found}


IMAGE, FRAMES = tensor([1, 8, 8, 4]), tensor([1, 8, 5])
CONV = use("CONV_2D", [IMAGE, constant([4, 3, 3, 4]), constant([4])], IMAGE, version=3, macs=900)
DENSE = use("FULLY_CONNECTED", [FRAMES, constant([5, 5]), None], FRAMES, version=9, macs=100)
SHAPE = constant([3], "INT32")
LSTM_INPUTS = [FRAMES, None, *[constant([5, 5])] * 3, *[None] * 19]


def facts(*uses: dict[str, Any]) -> dict[str, Any]:
    ops_ = [
        {"name": each["name"], "kind": each["kind"], "version": each["version"], "count": each["count"]}
        for each in uses
    ]
    total = sum(each["macs"] for each in uses)
    output = [{"name": "PartitionedCall:0"}]
    return {"ops": ops_, "uses": list(uses), "min_runtime": "2.15.0", "macs": {"total": total}, "outputs": output}


@pytest.mark.parametrize(
    ("target", "op", "words"),
    [
        # --- gpu
        ("gpu", CONV, ""),
        ("gpu", {**CONV, "version": 7}, "version 7 > 6"),
        ("gpu", use("FULLY_CONNECTED", [FRAMES, constant([5, 5], "INT8"), None], FRAMES, version=12), "version 12 > 9"),
        ("gpu", use("UNIDIRECTIONAL_SEQUENCE_LSTM", LSTM_INPUTS, FRAMES), "not among the ops that it knows"),
        ("gpu", use("WHILE", [FRAMES], FRAMES), "not among the ops that it knows"),
        ("gpu", use("REVERSE_V2", [FRAMES, constant([1], "INT32")], FRAMES), "not among the ops that it knows"),
        ("gpu", use("Mine", [FRAMES], FRAMES, kind="custom"), "not among the ops that it knows"),
        ("gpu", use("RESHAPE", [IMAGE, SHAPE], FRAMES), ""),
        ("gpu", use("RESHAPE", [IMAGE, tensor([3], "INT32")], FRAMES), "2 computed inputs, not 1"),
        ("gpu", use("RESHAPE", [tensor([1, 2, 2, 2, 2]), SHAPE], FRAMES), "a tensor has 5 axes, at most 4"),
        ("gpu", use("RESHAPE", [tensor([4], "INT32"), SHAPE], tensor([2, 2], "INT32")), "a computed tensor is INT32"),
        ("gpu", use("ADD", [IMAGE, constant([4])], IMAGE), ""),
        ("gpu", use("ADD", [IMAGE, tensor([1, 4])], IMAGE), ""),
        ("gpu", use("ADD", [FRAMES, tensor([8, 5])], FRAMES), "[8, 5] cannot be broadcast to [1, 8, 5]"),
        ("gpu", use("ADD", [tensor([1, 5], "INT16"), tensor([1, 5], "INT16")], tensor([1, 5], "INT16")), "is INT16"),
        ("gpu", use("MUL", [IMAGE, IMAGE], IMAGE, version=3), ""),
        (
            "gpu",
            use("SLICE", [tensor([8, 5]), constant([2], "INT32"), constant([2], "INT32")], tensor([4, 5])),
            "2 axes, not 3",
        ),
        (
            "gpu",
            use("STRIDED_SLICE", [FRAMES, SHAPE, SHAPE, SHAPE], FRAMES, options={"shrinkAxisMask": 1}),
            "shrinkAxisMask = 1",
        ),
        ("gpu", use("SOFTMAX", [FRAMES], FRAMES, options={"beta": 1.0}), ""),
        ("gpu", use("SOFTMAX", [FRAMES], FRAMES, options={"beta": 2.0}), "beta = 2.0"),
        ("gpu", use("GATHER", [FRAMES, constant([], "INT32")], FRAMES), "input 1 has 0 axes, not 1"),
        ("gpu", use("MEAN", [FRAMES, tensor([1], "INT32")], FRAMES), "2 computed inputs, not 1"),
        ("gpu", use("PAD", [IMAGE, constant([2, 2], "INT32")], IMAGE), "paddings of shape [2, 2]"),
        ("gpu", use("CAST", [tensor([4], "INT32")], tensor([4])), ""),
        ("gpu", use("CAST", [tensor([4], "INT64")], tensor([4])), "INT64 to FLOAT32"),
        ("gpu", use("DEQUANTIZE", [tensor([4], "INT16")], tensor([4])), "input 0 is INT16"),
        ("gpu", use("DEQUANTIZE", [constant([4], "FLOAT16")], tensor([4]), half=True), ""),
        ("gpu", use("CONV_2D", [tensor([1, -1, 8, 4]), constant([4, 3, 3, 4])], IMAGE), "a tensor of unknown size"),
        ("gpu", use("CONV_2D", [tensor([-1, 8, 8, 4]), constant([4, 3, 3, 4])], IMAGE), ""),  # the batch
        # --- nnapi
        ("nnapi", CONV, ""),
        ("nnapi", use("CONV_2D", [IMAGE, constant([4, 3, 3, 4])], IMAGE), "2 inputs, not 3"),
        ("nnapi", use("UNIDIRECTIONAL_SEQUENCE_LSTM", LSTM_INPUTS, FRAMES), ""),
        ("nnapi", use("UNIDIRECTIONAL_SEQUENCE_LSTM", LSTM_INPUTS, FRAMES, version=3), "version 3 > 2"),
        (
            "nnapi",
            use("BIDIRECTIONAL_SEQUENCE_LSTM", [FRAMES, None, constant([5, 5], "INT8")], FRAMES),
            "float activations with integer weights",
        ),
        ("nnapi", use("BATCH_MATMUL", [FRAMES, FRAMES], FRAMES, version=2), "not among the ops that it knows"),
        ("nnapi", use("SOFTMAX", [tensor([1, 1, 1, 1, 5])], FRAMES), "input 0 has 5 axes, not 0 to 4"),
        ("nnapi", use("RESHAPE", [IMAGE, tensor([3], "INT32")], FRAMES), "input 1 is no constant"),
        ("nnapi", use("RESHAPE", [tensor([4], "INT32"), SHAPE], tensor([4], "INT32")), "input 0 is INT32"),
        ("nnapi", use("UNPACK", [FRAMES], tensor([1, 5]), options={"axis": 2}), "along the last axis"),
        ("nnapi", use("PACK", [tensor([1, 5], "UINT8")], FRAMES, options={"axis": 0}), "input 0 is UINT8"),
        (
            "nnapi",
            use("CONCATENATION", [FRAMES], FRAMES, options={"fusedActivationFunction": 1}),
            "fusedActivationFunction = 1",
        ),
        ("nnapi", use("TRANSPOSE", [FRAMES, tensor([3], "INT32")], FRAMES), "input 1 is no constant"),
        ("nnapi", use("SUM", [tensor([4], "INT32"), constant([1], "INT32")], tensor([1], "INT32")), "input 0 is INT32"),
        # --- builtins and flex
        ("builtins", use("WHILE", [FRAMES], FRAMES), ""),
        ("builtins", use("FlexCTCGreedyDecoder", [FRAMES], FRAMES, kind="flex"), "a Select-TF (Flex) op, no builtin"),
        ("flex", use("FlexCTCGreedyDecoder", [FRAMES], FRAMES, kind="flex"), ""),
        ("flex", use("Mine", [FRAMES], FRAMES, kind="custom"), "a custom op, no builtin"),
    ],
)  # fmt: skip
def test_a_rule(target: str, op: dict[str, Any], words: str) -> None:
    found = targets.evaluate(facts(op))[target]
    assert found.runs is not bool(words), found
    assert found.kinds == {op["name"]: not words}
    if words:
        (reason,) = found.reasons
        assert (reason.op, reason.count) == (op["name"], 1)
        assert words in reason.rule
        assert reason.source in targets.SOURCES.values()


def test_every_rule_names_a_source_that_there_is() -> None:
    for known in (targets.GPU, targets.NNAPI):
        assert {rule.source for rules in known.values() for rule in rules} <= set(targets.SOURCES)
    assert not set(targets.GPU) & {"WHILE", "IF", "UNIDIRECTIONAL_SEQUENCE_LSTM", "REVERSE_V2", "CUSTOM"}


def test_shares_are_of_ops_and_of_multiply_accumulates() -> None:
    lstm = use("UNIDIRECTIONAL_SEQUENCE_LSTM", LSTM_INPUTS, FRAMES, macs=3000, count=2)
    found = targets.evaluate(facts(CONV, DENSE, lstm))["gpu"]
    assert found.shares == {"ops": 0.5, "macs": 0.25}
    assert found.kinds == {"CONV_2D": True, "FULLY_CONNECTED": True, "UNIDIRECTIONAL_SEQUENCE_LSTM": False}
    assert str(found.reasons[0]) == "UNIDIRECTIONAL_SEQUENCE_LSTM (2 times): not among the ops that it knows"


def test_a_format_whose_facts_have_no_uses_is_judged_by_its_ops_alone() -> None:
    flex = use("FlexCTCGreedyDecoder", [FRAMES], FRAMES, kind="flex")
    known = {name: value for name, value in facts(CONV, flex).items() if name not in ("uses", "macs")}
    said = {name: target.runs for name, target in targets.evaluate(known).items()}
    assert said == {"builtins": False, "flex": True, "gpu": None, "nnapi": None, "xnnpack": None, "micro": None}


def test_flex_says_the_android_dependency_and_its_documented_size() -> None:
    flex = targets.evaluate(facts(CONV, use("FlexCTCGreedyDecoder", [FRAMES], FRAMES, kind="flex")))["flex"]
    assert flex.runs is True
    assert flex.data["ops"] == ["FlexCTCGreedyDecoder"]
    assert flex.data["android"] == "org.tensorflow:tensorflow-lite-select-tf-ops"
    assert "ai.google.dev" in flex.data["source"]
    assert targets.evaluate(facts(CONV))["flex"].data == {}


TAKEN = {
    "runtime": "litert 2", "ops": 2, "taken": 1, "partitions": 1, "taken_macs": 900, "taken_kinds": {"CONV_2D": 1},
    "left": {"FULLY_CONNECTED": 1}, "hidden_ops": 0,
}  # fmt: skip


def test_xnnpack_is_what_was_measured() -> None:
    found = targets.evaluate(facts(CONV, DENSE), xnnpack=TAKEN)["xnnpack"]
    assert (found.runs, found.shares) == (False, {"ops": 0.5, "macs": 0.9})
    assert found.kinds == {"CONV_2D": True, "FULLY_CONNECTED": False}
    whole = TAKEN | {"taken": 2, "taken_macs": 1000, "left": {}}
    assert targets.evaluate(facts(CONV, DENSE), xnnpack=whole)["xnnpack"].runs is True
    hidden = targets.evaluate(facts(CONV, DENSE), xnnpack=whole | {"hidden_ops": 7})["xnnpack"]
    assert hidden.runs is False
    assert "7 ops inside loops" in hidden.summary
    assert targets.evaluate(facts(CONV))["xnnpack"].runs is None


@pytest.fixture
def judge(reading: MakeEvidence) -> Callable[..., CheckResult]:
    """The check ``ops`` of a network of `CONV` and `DENSE`, with a contract's targets and other evidence."""

    def go(*wanted: str, uses: tuple[dict[str, Any], ...] = (CONV, DENSE), **more: Any) -> CheckResult:
        evidence = reading([[1.0, 0.0]], [[1.0, 0.0]])
        assert evidence.run is not None
        outputs = [{"tensor": "PartitionedCall:0", "declared_as": "softmax"}]
        evidence.run = replace(evidence.run, facts={**evidence.run.facts, "outputs": outputs})
        evidence.inspect = Outcome("ok", "", facts=facts(*uses))
        for name, value in more.items():
            setattr(evidence, name, value)
        return ops.check(evidence, Limits(ops=OpsLimits(targets=wanted)))

    return go


def test_what_every_target_says_stands_in_the_details_and_in_the_data(judge: Callable[..., CheckResult]) -> None:
    result = judge(xnnpack=Outcome("ok", "", facts=TAKEN))
    assert result.verdict == "passed"
    assert list(result.data["targets"]) == list(targets.TARGETS)
    assert {name: target["runs"] for name, target in result.data["targets"].items()} == {
        "builtins": True, "flex": True, "gpu": True, "nnapi": False, "xnnpack": False, "micro": None,
    }  # fmt: skip
    assert result.data["targets"]["nnapi"]["reasons"][0]["op"] == "FULLY_CONNECTED"
    assert json.loads(json.dumps(result.data)) == result.data
    assert "target xnnpack: no; takes 50.0% of ops, 90.0% of macs in 1 partitions (litert 2)" in result.details
    assert {value.name: value.measured for value in result.values}["xnnpack_macs"] == 0.9


def test_a_demanded_target_that_takes_the_file_passes(judge: Callable[..., CheckResult]) -> None:
    assert judge("builtins", "flex", "gpu").verdict == "passed"


def test_a_demanded_target_that_does_not_fails_with_op_rule_and_source(judge: Callable[..., CheckResult]) -> None:
    result = judge("builtins", "nnapi")
    assert result.verdict == "failed"
    assert result.message.startswith("target nnapi: FULLY_CONNECTED: version 9 > 5 [github.com/google-ai-edge/LiteRT@")
    assert judge("gpu", uses=(CONV, use("WHILE", [FRAMES], FRAMES))).verdict == "failed"


def test_a_demanded_target_that_was_not_measured_is_no_pass(judge: Callable[..., CheckResult]) -> None:
    result = judge("micro", no_micro="toolchain modern lacks tflite-micro here: install with `pip`")
    assert result.verdict == "skipped"
    assert "demands target micro, which was not measured: toolchain modern lacks tflite-micro here" in result.message
    assert judge("xnnpack").verdict == "skipped"
    # What is known to be wrong is not hidden behind it.
    assert judge("micro", "nnapi").verdict == "failed"


def test_a_claim_works_on_a_demanded_target(judge: Callable[..., CheckResult]) -> None:
    claim = Unsupported(check="ops", match="target nnapi: FULLY_CONNECTED", why="too new an op")
    case = Case("m", "", "tf-lite", "int8", "modern")
    assert apply_claims(case, judge("nnapi"), None, [claim]).verdict == "unsupported"
    assert apply_claims(case, judge("gpu"), None, [claim]).verdict == "failed"  # it works although it is claimed not to
    assert apply_claims(case, judge("micro"), None, [claim]).verdict == "skipped"


MICRO = {"runtime": "tflite-micro 0", "runs": True, "samples": 1, "arena_bytes": 1234}


@pytest.mark.parametrize(
    ("given", "verdict", "words"),
    [
        ([[1.0, 0.01]], "passed", "runs in an arena of 1,234 bytes"),
        (
            [[0.0, 1.0]],
            "failed",
            "target micro: runs and computes something else than LiteRT: cosine 0.0000 of softmax",
        ),
        ([[np.nan, 1.0]], "failed", "1 numbers of softmax are NaN or infinite"),
        ([[1.0, 0.0, 0.0]], "failed", "softmax has shape [3], LiteRT's [2]"),
    ],
)
def test_micro_must_compute_what_litert_computes(
    judge: Callable[..., CheckResult], outcome: MakeOutcome, given: list[list[float]], verdict: str, words: str
) -> None:
    result = judge("micro", micro=outcome(MICRO, outputs={"0": given}))
    assert result.verdict == verdict
    assert words in "\n".join((result.message, *result.details))


def test_micro_that_fails_names_the_op(judge: Callable[..., CheckResult]) -> None:
    refused = {
        "runtime": "tflite-micro 0",
        "runs": False,
        "stage": "allocate",
        "op": "REDUCE_PROD",
        "message": "has no op X",
    }
    result = judge("micro", micro=Outcome("ok", "", facts=refused))
    assert result.verdict == "failed"
    assert "target micro: REDUCE_PROD: has no op X [measured: the tflite-micro interpreter]" in result.message
    assert result.data["targets"]["micro"]["kinds"] == {"REDUCE_PROD": False}


@pytest.mark.parametrize(
    ("ended", "verdict", "words"),
    [
        (Outcome("signal", "invoke", "SIGSEGV"), "failed", "it ended by signal at invoke: SIGSEGV"),
        (Outcome("timeout", "invoke", "more than 900 s"), "failed", "it ended by timeout at invoke"),
        (Outcome("signal", "invoke", "SIGXCPU"), "skipped", "not done within the processor time"),
        (Outcome("ok", "", facts={"why": "not tried: too large"}), "skipped", "not tried: too large"),
    ],
)
def test_how_micro_ended_is_what_it_says(
    judge: Callable[..., CheckResult], ended: Outcome, verdict: str, words: str
) -> None:
    result = judge("micro", micro=ended)
    assert result.verdict == verdict
    assert words in result.message
