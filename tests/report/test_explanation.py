"""The words and files of an explanation and of a bisection."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance.errors import UserError
from ocr_conformance.explanation import Bisection, Explanation, sentence
from ocr_conformance.report import explanation as views

MUL: dict[str, Any] = {
    "place": 47, "kind": "MUL", "index": 155, "tensor": "net/stn/mul_2", "layer": "net/stn/mul_2", "shape": [1, 350],
    "dtype": "int8", "compared": True, "sqnr_db": 18.5, "cosine": 0.993, "made_db": 18.7, "max_abs": 0.2,
    "different": 0.9, "low": -0.09, "high": 1.06, "given": [-0.24, 1.2], "nonfinite": 0, "alone_db": 4.5,
    "alone_texts": 4, "scale": 0.237, "zero_point": -104, "representable": [-5.7, 54.9], "levels": 4.9,
    "saturates": False, "weights": [],
}  # fmt: skip
FLOOR: dict[str, Any] = {
    "place": 48, "kind": "FLOOR", "index": 156, "tensor": "net/stn/floor", "layer": "net/stn/floor", "shape": [350],
    "dtype": "float32", "compared": True, "sqnr_db": 18.4, "cosine": 0.99, "made_db": 200.0, "max_abs": 1.0,
    "different": 0.1, "low": 0.0, "high": 49.0, "given": [0.0, 49.0], "nonfinite": 0, "alone_db": None,
    "alone_texts": None, "weights": [],
}  # fmt: skip
LAYERS = [{"name": "net/stn", "ops": [47, 48], "alone_db": 4.4, "alone_texts": 4}]
FACTS = {
    "named": MUL,
    "worst": [MUL],
    "layers": LAYERS,
    "sqnr_db": 4.7,
    "samples": 4,
    "alone_samples": 4,
    "ops": 2,
    "compared": 2,
}
FOUND = Explanation("m/tf-lite/int8@modern", "m/tf-lite/float32@modern", "ops", FACTS, [MUL, FLOOR], 48.2, 10**9)
LOST = {
    "node": "softmax", "kind": "softmax.int", "layer": "decoder/cell", "where": "scores.softmax(1)",
    "shape": [1, 26, 1],
    "inputs": [{"node": "linear", "place": 9, "tensor": "t", "declared": [1, 26, 1], "real": [26, 1]}],
    "ops": [{"place": 10, "kind": "REDUCE_MAX", "layer": "decoder/cell"}],
}  # fmt: skip
NODES = [
    {"name": "linear", "kind": "linear.default", "layer": "decoder/score", "shape": [1, 26, 1], "found": 9},
    {"name": "softmax", "kind": "softmax.int", "layer": "decoder/cell", "shape": [1, 26, 1], "found": None},
]
BY_NODES = Explanation(
    "m/litert-torch/float32@modern", "the nodes of torch.export's program", "nodes",
    {"named": LOST, "nodes": 2, "found": 1, "samples": 2}, NODES, 3.0, 10**8,
)  # fmt: skip


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_op_its_range_and_what_its_error_costs() -> None:
    said = sentence(FOUND)
    assert said.startswith("the first error is made in op 47, MUL of net/stn/mul_2: 18.7 dB of its own")
    assert "int8 holds -5.7 .. 54.9 in steps of 0.237: only 5 steps for all of it" in said
    assert said.endswith("this error alone leaves 4.5 dB of the output (all together: 4.7 dB)")


def test_where_many_share_the_blame_the_layer_is_named() -> None:
    shared = replace(FOUND, facts={**FACTS, "named": {**MUL, "alone_db": 30.0}})
    assert sentence(shared).startswith(
        "no single op is to blame; most is lost in net/stn (of its 2 ops together 4.4 dB)"
    )


def test_a_dead_op_and_its_many_scales() -> None:
    dead = {**MUL, "given": [0.0, 0.0], "weights": [{"dtype": "int8", "scales": 350}]}
    said = sentence(replace(FOUND, facts={**FACTS, "named": dead}))
    assert "it gives 0 whatever it reads, its int8 constant has 350 scales" in said


def test_inside_a_loop() -> None:
    loop = {**FACTS, "named": {**MUL, "kind": "WHILE"}, "inside": {"named": FLOOR}}
    assert "in its loop it is made in op 48, FLOOR of net/stn/floor" in sentence(replace(FOUND, facts=loop))


def test_a_lost_node_with_the_line_of_its_source() -> None:
    said = sentence(BY_NODES)
    assert "goes wrong at softmax.int of decoder/cell (`scores.softmax(1)`)" in said
    assert "linear is right in op 9, declared [1, 26, 1] and really [26, 1]; it is read by 10 REDUCE_MAX" in said


def test_nothing_to_name() -> None:
    assert "no op makes an error of its own" in sentence(replace(FOUND, facts={**FACTS, "named": None}))


def test_text_of_the_worst_and_of_every_op() -> None:
    worst = flat(views.text(FOUND, every=False, width=80))
    assert "m/tf-lite/int8@modern beside m/tf-lite/float32@modern, 4 images" in worst
    assert "> 47 MUL net/stn/mul_2" in worst
    assert "FLOOR" not in worst
    assert "4.4 dB net/stn alone (2 ops), 4 of 4 texts change" in worst
    every = flat(views.text(FOUND, every=True, width=80))
    assert "48 FLOOR" in every
    assert " all " in every  # no error of its own
    nodes = flat(views.text(BY_NODES, every=False, width=80))
    assert "1 of 2 nodes were found" in nodes
    assert "softmax.int decoder/cell [1, 26, 1] -" in nodes


def test_json_and_csv_hold_every_row(tmp_path: Path) -> None:
    rows = [{**MUL, "max_abs": math.inf}, FLOOR]
    views.write(replace(FOUND, rows=rows), tmp_path / "ops.json")
    known = json.loads((tmp_path / "ops.json").read_text(), parse_constant=pytest.fail)
    assert [row["place"] for row in known["rows"]] == [47, 48]
    views.write(FOUND, tmp_path / "ops.csv")
    with (tmp_path / "ops.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(row["place"], row["kind"], row["made_db"]) for row in table] == [
        ("47", "MUL", "18.7"),
        ("48", "FLOOR", "200.0"),
    ]
    views.write(BY_NODES, tmp_path / "nodes.csv")
    assert "softmax,softmax.int,decoder/cell" in (tmp_path / "nodes.csv").read_text()


def test_a_plot(tmp_path: Path) -> None:
    views.write(FOUND, tmp_path / "depth.svg")
    assert (tmp_path / "depth.svg").read_text().count("<path") > 10


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--output .*x\.txt: expected a name that ends in \.json, \.csv"):
        views.write(FOUND, tmp_path / "x.txt")
    with pytest.raises(UserError, match="cannot be written"):
        views.write(FOUND, tmp_path / "nowhere" / "x.json")
    with pytest.raises(UserError, match="there is no SQNR to plot"):
        views.write(BY_NODES, tmp_path / "x.png")


def test_a_bisection_and_its_recipe(tmp_path: Path) -> None:
    kept = [{"name": "net/stn", "pattern": "(^|;)net/stn/", "agreement": 0.0}]
    steps = [{"float": [], "agreement": 0.0, "bytes": 1024}, {"float": ["net/stn"], "agreement": 0.984, "bytes": 2048}]
    facts = {"holds": True, "kept": kept, "agreement": 0.984, "bytes": 2048, "all_agreement": 0.0, "all_bytes": 1024,
             "steps": steps, "samples": 64}  # fmt: skip
    (tmp_path / "recipe.json").write_text("[]")
    found = Bisection("m/litert-quantizer/int8@modern", "litert-quantizer", 0.95, facts, tmp_path, 27.0)
    said = views.bisection(found, tmp_path / "mine.json")
    assert "everything quantized: 0.0%, 1 KB" in said
    assert "net/stn (without it 0.0%)" in said
    assert "NO_QUANTIZE for (^|;)net/stn/" in said
    views.write_recipe(found, tmp_path / "mine.json")
    assert (tmp_path / "mine.json").read_text() == "[]"
    with pytest.raises(UserError, match="--recipe"):
        views.write_recipe(found, tmp_path / "nowhere" / "mine.json")
    lost = views.bisection(replace(found, facts={**facts, "holds": False, "kept": []}), None)
    assert "not reached; best with 1 layers float (98.4%): net/stn" in lost
    assert "nothing has to stay float" in views.bisection(replace(found, facts={**facts, "kept": []}), None)
