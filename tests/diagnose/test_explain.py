"""A planted defect is named, whatever it is; what is right is not blamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.defects.artifacts import planted

from .conftest import Base

FUSED, FUSED_INT8, LOOPS = (
    "captcha-ocr:tf-keras/tf-lite/float32",
    "captcha-ocr:tf-keras/tf-lite/int8",
    "captcha-ocr/tf-lite/float32",
)


@pytest.fixture
def explain(base: Base, run_job: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the job on two files; its facts."""

    def run(artifact: bytes, reference: bytes) -> dict[str, Any]:
        folders = {"inputs": base.inputs}
        for name, content in (("artifact", artifact), ("reference", reference)):
            folders[name] = tmp_path / name
            folders[name].mkdir(exist_ok=True)
            (folders[name] / "model.tflite").write_bytes(content)
        done = run_job(
            "ocr_conformance.diagnose.explain:explain", {"model": base.model, "samples": 3}, folders, tmp_path / "job"
        )
        assert done["ok"], done
        facts: dict[str, Any] = done["facts"]
        return facts

    return run


# Places in the files that TensorFlow 2.21 writes; the kind is checked, so that another version cannot pass by accident.
PLANTED = [
    (FUSED, "perturbed", 2, 0.5, "CONV_2D"),
    (FUSED, "bias_lost", 5, 0, "FULLY_CONNECTED"),
    (FUSED, "activation_lost", 2, 0, "CONV_2D"),
    (FUSED, "pooling_mean", 3, 0, "AVERAGE_POOL_2D"),
    (FUSED, "gates_exchanged", 9, 0, "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    (FUSED, "sides_exchanged", 15, 0, "CONCATENATION"),
    (FUSED, "classes_exchanged", 16, 0, "FULLY_CONNECTED"),
    (FUSED_INT8, "scale_off", 17, 8, "FULLY_CONNECTED"),
    (FUSED_INT8, "zero_point_shifted", 17, 100, "FULLY_CONNECTED"),
    (FUSED_INT8, "weight_scale_halved", 3, 1, "CONV_2D"),
    (FUSED_INT8, "bias_saturated", 3, 0, "CONV_2D"),
]


@pytest.mark.parametrize("defect", PLANTED, ids=[f"{p[1]}-{p[2]}" for p in PLANTED])
def test_the_planted_op_is_named_first(
    base: Base, explain: Callable[..., dict[str, Any]], defect: tuple[str, str, int, float, str]
) -> None:
    name, what, place, size, kind = defect
    facts = explain(planted(base.file(name), what, place, size), base.file(FUSED))
    assert (facts["named"]["place"], facts["named"]["kind"]) == (place, kind)
    assert facts["worst"][0]["place"] == place
    # It accounts for what is lost, and is the only one that does.
    assert facts["named"]["alone_db"] == pytest.approx(facts["sqnr_db"], abs=1)
    assert all(row["alone_db"] > facts["sqnr_db"] + 6 for row in facts["worst"][1:] if row["place"] != place)


def test_in_a_loop_the_op_of_its_body_is_named(base: Base, explain: Callable[..., dict[str, Any]]) -> None:
    facts = explain(planted(base.file(LOOPS), "perturbed", 5, 0.5, subgraph=6), base.file(LOOPS))
    assert (facts["named"]["place"], facts["named"]["kind"]) == (15, "WHILE")
    inside = facts["inside"]["named"]
    assert (inside["place"], inside["kind"]) == (5, "FULLY_CONNECTED")
    assert "backward_lstm_1_1/while/lstm_cell_1" in inside["layer"]


def test_a_file_beside_itself_makes_no_error(base: Base, explain: Callable[..., dict[str, Any]]) -> None:
    facts = explain(base.file(LOOPS), base.file(LOOPS))
    assert facts["named"] is None
    assert facts["worst"] == []
    assert facts["compared"] == facts["ops"] > 20


def test_quantization_alone_blames_many(base: Base, explain: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    facts = explain(base.file(FUSED_INT8), base.file(FUSED))
    assert facts["compared"] == facts["ops"] == 20  # QUANTIZE and DEQUANTIZE stand for what they write otherwise
    assert facts["sqnr_db"] > 30
    rows = {row["place"]: row for row in json.loads((tmp_path / "job" / "ops.json").read_text())}
    assert rows[1]["representable"][0] == pytest.approx(0.0, abs=1e-6)  # a ReLU's output
    assert rows[1]["made_db"] < rows[2]["made_db"]  # pooling adds nothing of its own
