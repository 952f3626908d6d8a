"""What XNNPACK takes of real files, and real files in TFLite Micro: tests/data/make_tflite.py says what they hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., dict[str, Any]]
Artifact = Callable[[str], Path]
DATA = Path(__file__).parent.parent / "data"
XNNPACK, MICRO = "ocr_conformance.runtime.xnnpack:partition", "ocr_conformance.runtime.micro:run"
HAS_LITERT = importlib.util.find_spec("ai_edge_litert") is not None
PRELOAD = () if HAS_LITERT else ("tensorflow",)

runs_files = pytest.mark.skipif(
    not HAS_LITERT and importlib.util.find_spec("tensorflow") is None,
    reason="running a .tflite file needs ai-edge-litert or tensorflow",
)
has_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None, reason="tflite-micro is not installed (toolchain modern has it)"
)


@pytest.fixture
def xnnpack(run_job: Run, inputs: Path, artifact: Artifact) -> Run:
    def go(name: str) -> dict[str, Any]:
        result = run_job(XNNPACK, {"threads": 1}, {"artifact": artifact(name), "inputs": inputs})
        assert result["ok"], result
        facts: dict[str, Any] = result["facts"]
        return facts

    return go


CONV, DEPTHWISE, DENSE = 8 * 8 * 64 * 9, 8 * 8 * 64 * 9, 8 * 512 * 5


@runs_files
def test_a_float_network_of_convolutions_is_taken_whole(xnnpack: Run) -> None:
    facts = xnnpack("conv")
    assert (facts["ops"], facts["taken"], facts["partitions"], facts["left"]) == (6, 6, 1, {})
    assert facts["taken_macs"] == CONV + DEPTHWISE + DENSE
    assert facts["taken_kinds"] == {
        "CONV_2D": 1,
        "DEPTHWISE_CONV_2D": 1,
        "RESHAPE": 2,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }


@runs_files
def test_a_fused_lstm_stays_and_splits_the_graph(xnnpack: Run) -> None:
    facts = xnnpack("lstm")
    assert facts["left"]["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1
    assert facts["taken"] + sum(facts["left"].values()) == facts["ops"] == 5
    assert facts["taken_macs"] == 8 * 6 * 5  # the dense layer behind it


@runs_files
def test_what_is_inside_a_loop_is_said_to_be_hidden(xnnpack: Run) -> None:
    facts = xnnpack("while")
    assert facts["left"] == {"WHILE": 1}
    assert (facts["ops"], facts["hidden_ops"], facts["taken_macs"]) == (5, 16, 0)


@runs_files
def test_16_bit_activations_are_left(xnnpack: Run) -> None:
    facts = xnnpack("conv-int16x8")
    assert (facts["taken"], facts["partitions"], facts["taken_macs"]) == (0, 0, 0)
    assert sum(facts["left"].values()) == facts["ops"]


def test_a_delegates_node_stands_for_what_lies_between_its_inputs_and_outputs() -> None:
    from ocr_conformance.runtime.xnnpack import replaced

    nodes = [("A", [0, 9], [1]), ("B", [1], [2, 3]), ("C", [2, -1], [4]), ("D", [3, 4], [5]), ("E", [0], [6])]
    assert replaced(nodes, ("DELEGATE", [1, 9], [5])) == {1, 2, 3}
    assert replaced(nodes, ("DELEGATE", [0, 9], [1])) == {0}
    assert replaced(nodes, ("DELEGATE", [0, 9], [4, 3])) == {0, 1, 2}


@pytest.fixture
def micro(run_job: Run, inputs: Path, artifact: Artifact) -> Run:
    """Facts of one file of tests/data in TFLite Micro; ``values``: its first output, where it runs."""

    def go(name: str, **params: Any) -> dict[str, Any]:
        places = {"artifact": artifact(name), "inputs": inputs}
        asked = {"samples": 2, "most_bytes": None, "seconds": 20, **params}
        result = run_job(MICRO, asked, places, out=places["artifact"].parent / "micro")
        assert result["ok"], result
        facts: dict[str, Any] = result["facts"]
        if facts.get("runs"):
            with np.load(places["artifact"].parent / "micro" / "outputs.npz") as outputs:
                facts["values"] = outputs["0"]
        return facts

    return go


@has_micro
@pytest.mark.parametrize(
    ("name", "of", "tolerance"),
    [("conv", "conv", 1e-5), ("lstm", "lstm", 1e-5), ("conv-full-int8", "conv", 0.05), ("conv-int16x8", "conv", 0.01)],
)
def test_micro_computes_what_tensorflow_computed(micro: Run, name: str, of: str, tolerance: float) -> None:
    facts = micro(name)
    assert facts["runs"], facts
    assert facts["runtime"].startswith("tflite-micro ")
    with np.load(DATA / "expected.npz") as expected:
        np.testing.assert_allclose(facts["values"], expected[of][:2], atol=tolerance)


@has_micro
def test_the_state_of_an_lstm_is_reset_after_each_sample(micro: Run) -> None:
    twice = micro("lstm", samples=2)["values"]
    np.testing.assert_array_equal(micro("lstm", samples=1)["values"], twice[:1])


@has_micro
def test_the_arena_is_what_was_used_of_it(micro: Run) -> None:
    assert 2_000 < micro("lstm-full-int8")["arena_bytes"] < micro("conv-full-int8")["arena_bytes"] < 20_000


@has_micro
@pytest.mark.parametrize(
    ("name", "op", "words"),
    [
        ("while", "SCATTER_ND", "has no op SCATTER_ND"),
        ("conv-dynamic-range", "FULLY_CONNECTED", "Input type: FLOAT32 with filter type: INT8 not supported"),
        ("conv-float16", "DEQUANTIZE", "kTfLiteInt8"),
    ],
)
def test_what_micro_lacks_is_named(micro: Run, name: str, op: str, words: str) -> None:
    facts = micro(name)
    assert (facts["runs"], facts["stage"], facts["op"]) == (False, "allocate", op)
    assert words in facts["message"]


@has_micro
def test_a_flex_file_is_refused_without_a_crash(micro: Run) -> None:
    assert micro("flex")["runs"] is False


@has_micro
def test_an_arena_that_is_too_small_is_followed_by_a_larger_one(run_job: Run, inputs: Path, artifact: Artifact) -> None:
    places = {"artifact": artifact("conv"), "inputs": inputs}
    result = run_job(f"{__file__}:small_arenas", {"samples": 1, "most_bytes": None, "seconds": None}, places)
    assert result["facts"] == {"runs": True, "too_small": False}


def small_arenas(job: Any) -> dict[str, Any]:
    """A job: run a file with small arenas that grow, then with small ones alone."""
    from ocr_conformance.runtime import micro

    micro._ARENAS = (2_000, 20_000, 100_000)
    grown = micro.run(job)
    micro._ARENAS = (2_000,)
    return {"runs": grown["runs"], "too_small": micro.run(job)["runs"]}


def test_a_file_that_is_too_large_is_not_tried(micro: Run) -> None:
    facts = micro("conv", most_bytes=17_000)
    assert facts == {
        "why": "not tried: the file has more than 17,000 bytes, and the contract does not demand the target"
    }


@has_micro
def test_a_loop_without_end_is_ended(run_job: Run, inputs: Path, artifact: Artifact, tmp_path: Path) -> None:
    asked = {"samples": 1, "most_bytes": None, "seconds": 1}
    with pytest.raises(AssertionError):  # it leaves no result: the process is gone
        run_job(f"{__file__}:spin", asked, {"artifact": artifact("conv"), "inputs": inputs})
    assert (tmp_path / "job" / ".stage").read_text() == "allocate"


def spin(job: Any) -> dict[str, Any]:
    """A job: an interpreter that never comes back."""
    from tflite_micro.python.tflite_micro import runtime

    from ocr_conformance.runtime import micro

    def forever(*_: Any, **__: Any) -> None:
        while True:
            pass

    runtime.Interpreter.from_file = forever
    return micro.run(job)
