"""Latency and memory of real files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]
Artifact = Callable[[str], Path]
LATENCY, MEMORY = "ocr_conformance.runtime.latency:measure", "ocr_conformance.runtime.memory:measure"
HAS_LITERT = importlib.util.find_spec("ai_edge_litert") is not None

pytestmark = pytest.mark.skipif(
    not HAS_LITERT and importlib.util.find_spec("tensorflow") is None,
    reason="running a .tflite file needs ai-edge-litert or tensorflow",
)


def test_every_round_times_everybody(run_job: Run, toy: Run, inputs: Path, artifact: Artifact) -> None:
    places = {"artifact": artifact("conv-full-int8"), "baseline": artifact("conv"), "inputs": inputs}
    params = {"model": toy(), "threads": 1, "with_source": True, "min_seconds": 0.1, "budget_seconds": 10}
    facts = run_job(LATENCY, params, places)["facts"]
    for name in ("artifact", "float32", "source"):
        assert len(facts[f"{name}_ms"]) == len(facts[f"{name}_cpu_ms"]) == facts["rounds"]
        assert min(facts[f"{name}_ms"]) > 0
    assert sum(facts["blocks"]) == facts["rounds"]
    assert len(facts["blocks"]) >= 8
    assert min(facts["blocks"]) >= 1
    assert facts["source_timed"] == "predict"  # the toy has no compiled function
    assert facts["stopped"] in ("spread", "budget", "rounds")
    assert set(facts["spreads"]) == {"float32", "source"}


def test_the_source_is_timed_through_its_compiled_function(
    run_job: Run, toy: Run, inputs: Path, artifact: Artifact
) -> None:
    model = {**toy(), "adapter": toy()["adapter"].replace(":Toy", ":Compiled")}
    params = {"model": model, "threads": 1, "with_source": True, "budget_seconds": 0}
    facts = run_job(LATENCY, params, {"artifact": artifact("conv"), "inputs": inputs})["facts"]
    assert facts["source_timed"] == "predictor"
    assert len(facts["source_ms"]) == 8


def test_a_spent_budget_still_gives_eight_blocks(run_job: Run, toy: Run, inputs: Path, artifact: Artifact) -> None:
    places = {"artifact": artifact("conv"), "baseline": artifact("conv"), "inputs": inputs}
    params = {"model": toy(), "threads": 1, "budget_seconds": 0}
    facts = run_job(LATENCY, params, places)["facts"]
    assert (facts["blocks"], facts["stopped"]) == ([1] * 8, "budget")


def test_without_references_the_artifact_is_timed_alone(
    run_job: Run, toy: Run, inputs: Path, artifact: Artifact
) -> None:
    params = {"model": toy(), "threads": 1, "min_seconds": 0.0, "spread": 1000}
    facts = run_job(LATENCY, params, {"artifact": artifact("conv"), "inputs": inputs})["facts"]
    assert (len(facts["blocks"]), facts["stopped"], facts["source_timed"]) == (8, "spread", None)
    assert set(facts["spreads"]) == {"artifact"}
    assert "float32_ms" not in facts


def test_without_a_spread_the_budget_is_spent(run_job: Run, toy: Run, inputs: Path, artifact: Artifact) -> None:
    places = {"artifact": artifact("conv"), "baseline": artifact("conv"), "inputs": inputs}
    params = {"model": toy(), "threads": 1, "min_seconds": 0.0, "spread": 0, "budget_seconds": 1}
    facts = run_job(LATENCY, params, places)["facts"]
    assert facts["stopped"] in ("budget", "rounds")
    assert len(facts["blocks"]) >= 8  # a busy machine makes no more in a second
    assert max(facts["blocks"]) <= 25


@pytest.mark.parametrize("budget", [600, 0])
def test_each_block_has_interpreters_of_its_own_unless_making_them_takes_too_long(
    run_job: Run, toy: Run, inputs: Path, artifact: Artifact, budget: float
) -> None:
    places = {"artifact": artifact("conv"), "baseline": artifact("conv"), "inputs": inputs}
    params = {"model": toy(), "threads": 1, "budget_seconds": budget, "spread": 1000, "min_seconds": 0}
    facts = run_job(f"{__file__}:count_interpreters", params, places)["facts"]
    assert len(facts["blocks"]) == 8
    assert facts["made"] == (16 if budget else 2)


def count_interpreters(job: Any) -> dict[str, Any]:
    """A job: measure latency, and count the interpreters that it takes."""
    from ocr_conformance.runtime import latency

    made = []

    class Counted(latency.Session):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            made.append(self)
            super().__init__(*arguments, **more)

    latency.Session = Counted
    return {**latency.measure(job), "made": len(made)}


def test_the_spread_narrows_with_rounds_and_with_agreement() -> None:
    from ocr_conformance.runtime.latency import ratio_spread

    assert ratio_spread([1.0] * 5) == float("inf")
    assert ratio_spread([2.0] * 6) == 0
    noisy = [0.8, 1.0, 1.2, 1.0] * 2
    assert ratio_spread(noisy * 16) == pytest.approx(ratio_spread(noisy) / 4)


def test_memory_grows_by_what_was_loaded(run_job: Run, inputs: Path, artifact: Artifact) -> None:
    facts = run_job(MEMORY, {"threads": 1}, {"artifact": artifact("conv"), "inputs": inputs})["facts"]
    assert facts["growth_bytes"] == facts["peak_bytes"] - facts["baseline_bytes"]
    assert facts["file_bytes"] <= facts["growth_bytes"] < 100e6
    assert facts["baseline_bytes"] <= facts["after_load_bytes"] <= facts["peak_bytes"]
    assert facts["tensorflow_imported"] is not HAS_LITERT


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can set the peak back")
def test_an_earlier_peak_does_not_hide_growth(run_job: Run, inputs: Path, artifact: Artifact) -> None:
    places = {"artifact": artifact("conv"), "inputs": inputs}
    facts = run_job(f"{__file__}:after_a_peak", {"threads": 1}, places)["facts"]
    assert facts["peak_reset"]
    assert facts["growth_bytes"] < 100e6


def after_a_peak(job: Any) -> dict[str, Any]:
    """A job: measure memory after 300 MB were held and given back."""
    from ocr_conformance.runtime.litert import interpreter_class
    from ocr_conformance.runtime.memory import measure

    interpreter_class()
    held = bytearray(b"x") * 300_000_000
    del held
    return measure(job)
