"""Running real files: tests/data/make_tflite.py says what they hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., dict[str, Any]]
Artifact = Callable[[str], Path]
RUN, REPEAT = "ocr_conformance.runtime.litert:run", "ocr_conformance.runtime.litert:repeat"
DATA = Path(__file__).parent.parent / "data"
HAS_LITERT = importlib.util.find_spec("ai_edge_litert") is not None
PRELOAD = () if HAS_LITERT else ("tensorflow",)

pytestmark = pytest.mark.skipif(
    not HAS_LITERT and importlib.util.find_spec("tensorflow") is None,
    reason="running a .tflite file needs ai-edge-litert or tensorflow",
)


@pytest.fixture
def run(run_job: Run, toy: Run, inputs: Path, artifact: Artifact, tmp_path: Path) -> Run:
    """Facts and outputs of one file of tests/data."""

    def go(name: str, variant: str = "", alphabet: str | None = None, **params: Any) -> dict[str, Any]:
        places = {"artifact": artifact(name), "inputs": inputs}
        model = toy(variant) if alphabet is None else {**toy(variant), "alphabet": alphabet}
        result = run_job(RUN, {"model": model, "threads": 1, **params}, places)
        assert result["ok"], result
        with np.load(tmp_path / "job" / "outputs.npz") as outputs:
            return {**result["facts"], "values": outputs["probabilities"]}

    return go


def test_the_runtime_is_named(run: Run) -> None:
    assert run("conv")["runtime"].startswith("ai-edge-litert " if HAS_LITERT else "tensorflow.lite ")


@pytest.mark.parametrize("name", ["conv", "lstm", "while"])
def test_outputs_are_stacked_under_the_declared_name(run: Run, name: str) -> None:
    facts = run(name)
    assert facts["values"].shape == (6, 8, 5)
    assert facts["values"].dtype == np.float32
    np.testing.assert_allclose(facts["values"].sum(axis=-1), 1, atol=1e-5)
    assert facts["output_mapping"] == facts["input_mapping"] == "name"
    assert facts["signature_names"] == ["serving_default"]
    assert len(facts["texts"]) == 6


@pytest.mark.parametrize("name", ["conv", "lstm", "while"])
def test_float_files_give_what_tensorflow_gave(run: Run, name: str) -> None:
    with np.load(DATA / "expected.npz") as expected:
        np.testing.assert_allclose(run(name)["values"], expected[name], atol=1e-5)


# Half-precision weights are good to 5e-4 of their value, 8-bit ones to 4e-3; softmax outputs are below 1.
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("conv-float16", 2e-3),
        pytest.param(
            "conv-dynamic-range",
            0.02,
            marks=pytest.mark.skipif(
                not HAS_LITERT,
                reason="the file's FULLY_CONNECTED version 12 needs a newer runtime than TensorFlow 2.15",
            ),
        ),
        ("conv-int16x8", 0.02),
    ],
)
def test_quantized_files_stay_near_the_float_one(run: Run, name: str, limit: float) -> None:
    assert 0 < np.abs(run("conv")["values"] - run(name)["values"]).max() < limit


def test_integer_tensors_are_quantized_and_dequantized(run: Run) -> None:
    facts = run("conv-full-int8")
    (given,), (output,) = facts["inputs"], facts["outputs"]
    assert (given["dtype"], output["dtype"]) == ("int8", "int8")
    assert given["scale"] == pytest.approx(1 / 255, rel=0.01)
    assert (output["scale"], output["zero_point"]) == (1 / 256, -128)
    steps = facts["values"] * 256
    np.testing.assert_array_equal(steps, np.round(steps))
    assert np.abs(run("conv")["values"] - facts["values"]).max() < 0.1


def test_a_file_without_signature_and_with_a_wrong_declaration(run: Run) -> None:
    facts = run("unsigned")
    assert facts["signature_names"] == []
    assert facts["outputs"][0]["shape"] == [1, 1, 5]
    assert facts["outputs"][0]["real_shape"] == [1, 8, 5]
    assert facts["output_mapping"] == "order"
    np.testing.assert_array_equal(facts["values"], run("while")["values"])


def test_outputs_of_another_shape_than_promised_are_not_decoded(run: Run) -> None:
    facts = run("conv", "wide")
    assert facts["texts"] is None
    assert facts["undecoded"] == "output 'probabilities' has shape [1, 8, 5], the model promises [1, 8, 9]"


def test_another_alphabet_decodes_another_text(run: Run) -> None:
    texts = run("conv")["texts"]
    table = str.maketrans("abcd", "wxyz")
    assert any(texts)
    assert run("conv", alphabet="wxyz")["texts"] == [text.translate(table) for text in texts]


@pytest.mark.skipif(not HAS_LITERT, reason="tensorflow.lite carries the Flex kernels")
def test_flex_fails_at_allocate(run_job: Run, toy: Run, inputs: Path, artifact: Artifact) -> None:
    result = run_job(RUN, {"model": toy(), "threads": 1}, {"artifact": artifact("flex"), "inputs": inputs})
    assert (result["type"], result["stage"]) == ("RuntimeError", "allocate")
    assert "Select TensorFlow op(s)" in result["message"]
    assert "FlexMatrixInverse" in result["message"]


def test_a_sample_of_another_shape_is_refused(run_job: Run, toy: Run, artifact: Artifact, tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", image=np.zeros((2, 8, 9, 1), np.float32))
    result = run_job(RUN, {"model": toy(), "threads": 1}, {"artifact": artifact("conv"), "inputs": tmp_path})
    assert (result["type"], result["stage"]) == ("ValueError", "allocate")
    assert result["message"] == "the file's input 'image' has shape [1, 8, 8, 1], the model feeds [1, 8, 9, 1]"


@pytest.mark.parametrize("name", ["lstm", "lstm-full-int8"])
def test_a_fused_lstm_keeps_its_state_until_it_is_reset(
    run_job: Run, toy: Run, inputs: Path, artifact: Artifact, name: str
) -> None:
    places = {"artifact": artifact(name), "inputs": inputs}
    facts = run_job(REPEAT, {"model": toy(), "threads": 1, "samples": 3}, places)["facts"]
    scenarios = facts["scenarios"]
    assert set(scenarios) == {
        "second", "second-reset", "after-another", "after-another-reset", "reused", "threads-2"
    }  # fmt: skip
    for leaking in ("second", "after-another"):
        assert scenarios[leaking]["max_abs"] > 0.05
        worst = scenarios[leaking]["worst"]
        assert abs(worst["first"] - worst["second"]) == pytest.approx(scenarios[leaking]["max_abs"])
        assert scenarios[leaking]["first_values"] != scenarios[leaking]["second_values"]
    for clean in ("second-reset", "after-another-reset", "reused", "threads-2"):
        assert scenarios[clean]["max_abs"] == 0
        assert scenarios[clean]["changed"] == 0


def test_a_loop_keeps_no_state(run_job: Run, toy: Run, inputs: Path, artifact: Artifact) -> None:
    places = {"artifact": artifact("while"), "inputs": inputs}
    facts = run_job(REPEAT, {"model": toy(), "threads": 2}, places)["facts"]
    assert facts["samples"] == 4
    assert "threads-1" in facts["scenarios"]
    assert {scenario["max_abs"] for scenario in facts["scenarios"].values()} == {0}


def test_one_sample_has_no_other_image(run_job: Run, toy: Run, inputs: Path, artifact: Artifact) -> None:
    places = {"artifact": artifact("lstm"), "inputs": inputs}
    facts = run_job(REPEAT, {"model": toy(), "threads": 1, "samples": 1}, places)["facts"]
    assert set(facts["scenarios"]) == {"second", "second-reset", "reused", "threads-2"}


def test_the_published_captcha_file_reads_captchas(run_job: Run, shared: Callable[[str], Path], tmp_path: Path) -> None:
    """FACTS 9: it declares [1, 1, 20], gives [1, 50, 20] and reads its training set."""
    (tmp_path / "model.tflite").write_bytes(shared("published/captcha_ocr_dr.tflite").read_bytes())
    paths = sorted(shared("captcha").glob("*.png"))[:4]
    result = run_job(f"{__file__}:read_published", {"images": [str(path) for path in paths]}, {"artifact": tmp_path})
    assert result["ok"], result
    assert result["facts"]["declared"] == [1, 1, 20]
    assert result["facts"]["real"] == [1, 50, 20]
    assert result["facts"]["texts"] == [path.stem for path in paths]


def read_published(job: Any) -> dict[str, Any]:
    """A job: greedy CTC on captchas (any gray resize will do: they are 200 x 50 already)."""
    from PIL import Image

    from ocr_conformance.runtime.litert import Session

    gray = [np.asarray(Image.open(path).convert("L"), np.float32).T / 255 for path in job.params["images"]]
    inputs = {"image": np.stack(gray)[..., np.newaxis]}
    session = Session(job.inputs["artifact"] / "model.tflite", threads=1, inputs=inputs)
    texts, real = [], []
    for index in range(len(gray)):
        (values,) = session({"image": inputs["image"][index : index + 1]}).values()
        frames = values[0].argmax(-1)
        kept = frames[np.insert(frames[1:] != frames[:-1], 0, True)]
        texts.append("".join("3w7be56yn2cxfp8dmg4"[i] for i in kept if i < 19))
        real = list(values.shape)
    return {"texts": texts, "declared": session.declared_outputs[0]["shape"], "real": real}
