"""The search for what must stay float; the patterns of its recipe; one real network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ocr_conformance.diagnose.bisect import MOST_GROUPS, Group, search

from .conftest import Base

PRELOAD = ("tensorflow",)


def groups(count: int) -> list[Group]:
    return [Group(f"net/layer_{number}", (f"net/layer_{number}/out",)) for number in range(count)]


@given(st.integers(1, MOST_GROUPS), st.data())
def test_exactly_what_is_needed_stays_float(count: int, data: st.DataObject) -> None:
    every = groups(count)
    needed = set(data.draw(st.lists(st.sampled_from([each.name for each in every]), unique=True)))

    def agreement(kept: Sequence[Group]) -> float:
        return 1.0 if needed <= {group.name for group in kept} else 0.0

    kept, holds = search(every, agreement, 1.0)
    assert holds
    assert {group.name for group in kept} == needed


def test_what_nothing_cures_is_said() -> None:
    kept, holds = search(groups(3), lambda kept: 0.5, 0.9)
    assert not holds
    assert len(kept) == 3


def test_patterns_match_the_layer_and_no_other() -> None:
    import re

    layer = Group("model/lambda_1", ("model/lambda_1/mul", "model/lambda_1/add;model/lambda_1/Reshape"))
    assert all(re.search(layer.pattern(), f"{name};") for name in layer.tensors)
    assert not re.search(layer.pattern(), "model/lambda_10/mul;")
    assert not re.search(layer.pattern(), "other/model/lambda_1/mul;")
    steps = Group("net/lstm_cell", ("net/lstm_cell/MatMul", "net/lstm_cell_1/MatMul", "net/lstm_cell_49/MatMul"))
    assert all(re.search(steps.pattern(), f"{name};") for name in steps.tensors)
    fused = Group("tfl.lstm1", ("tfl.lstm1",))
    assert re.search(fused.pattern(), "tfl.lstm1;")
    assert not re.search(fused.pattern(), "tfl.lstm10;")
    torch = Group(
        "conv/0",
        ("litert_torch.Named/net.Net_net/torch.nn.Conv2d_0;1", "litert_torch.Named/net.Net_net/torch.nn.Conv2d_0;2"),
    )
    assert re.search(torch.pattern(), "litert_torch.Named/net.Net_net/torch.nn.Conv2d_0;7;")
    assert not re.search(torch.pattern(), "litert_torch.Named/net.Net_net/torch.nn.Conv2d_01;7;")


def test_a_recipe_that_keeps_a_layer_float(base: Base, run_job: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Nothing short of every text will do: some layer of the int8 network stays float, and the recipe says which."""
    folders = {"inputs": base.inputs, "calibration": base.inputs, "reference": tmp_path / "reference"}
    folders["reference"].mkdir()
    (folders["reference"] / "model.tflite").write_bytes(base.file("captcha-ocr:tf-keras/tf-lite/float32"))
    folders["source"] = tmp_path / "source"
    done = run_job(
        "ocr_conformance.runtime.source:predict", {"model": base.model}, {"inputs": base.inputs}, folders["source"]
    )
    assert done["ok"], done
    listed = [{"name": "captcha_ocr/dense2", "tensors": ["captcha_ocr/dense2/Tensordot;captcha_ocr/dense2/BiasAdd"]}]
    params = {"model": base.model, "mode": "int8", "quantizer": "litert-quantizer", "samples": 4, "agreement": 1.0}
    done = run_job("ocr_conformance.diagnose.bisect:bisect", {**params, "groups": listed}, folders, tmp_path / "job")
    assert done["ok"], done
    facts = done["facts"]
    assert facts["samples"] == 4
    assert facts["holds"]
    recipe = json.loads((tmp_path / "job" / "recipe.json").read_text())
    kept = [rule["regex"] for rule in recipe if rule["algorithm_key"] == "no_quantize" and rule["operation"] == "*"]
    assert kept == [each["pattern"] for each in facts["kept"]]
    assert (tmp_path / "job" / "model.tflite").stat().st_size == facts["bytes"]
