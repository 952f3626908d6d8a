"""Parts of ``.tflite`` files and PyTorch programs that are still wrong; the frameworks run in child processes only."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., dict[str, Any]]
PRELOAD = ("torch",)

DATA = Path(__file__).parent.parent / "data"

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="ai-edge-litert is not installed"
)
needs_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("litert_quantizer") is None, reason="litert-quantizer is not installed"
)
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
needs_litert_torch = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="litert-torch is not installed"
)

SPOIL = """
from pathlib import Path
from ocr_conformance.diagnose.surgery import Surgeon
from ocr_conformance.inspect.tflite import TFLiteFile


def first(job):
    '''Make the first op's scale wrong that has one behind the inputs.'''
    content = (job.inputs["artifact"] / "model.tflite").read_bytes()
    surgeon = Surgeon(content)
    file = surgeon.file
    for op in file.ops[0]:
        parameters = file.tensor(0, op.outputs[0]).quantization
        if op.name == job.params["kind"] and parameters is not None and parameters.scale is not None:
            parameters.scale = [parameters.scale[0] * job.params["factor"]]
            break
    (job.out / "model.tflite").write_bytes(surgeon.pack())
    return {"tensor": op.outputs[0]}


def names(job):
    '''What a file of the job under test holds.'''
    file = TFLiteFile((job.inputs["folder"] / job.params["file"]).read_bytes())
    return {"ops": [op.name for op in file.ops[0]], "signature": bool(file.model.signatureDefs)}
"""


@pytest.fixture
def toy() -> dict[str, Any]:
    weights = {"name": "none", "path": None, "sha256": ""}
    return {"adapter": f"{DATA / 'toy' / 'model.py'}:Toy", "variant": "", "weights": weights}


def artifact(folder: Path, name: str) -> Path:
    folder.mkdir()
    shutil.copyfile(DATA / name, folder / "model.tflite")
    return folder


@pytest.fixture
def spoilt(tmp_path: Path, run_job: Run) -> Callable[..., tuple[Path, int]]:
    """The full-int8 toy with a wrong scale behind its first op of a kind: its folder and what the op makes."""

    def spoil(kind: str, factor: float = 40.0) -> tuple[Path, int]:
        (tmp_path / "spoil.py").write_text(SPOIL)
        whole = artifact(tmp_path / "int8", "conv-full-int8.tflite")
        out = tmp_path / "spoilt"
        done = run_job(f"{tmp_path / 'spoil.py'}:first", {"kind": kind, "factor": factor}, {"artifact": whole}, out)
        assert done["ok"], done
        return out, done["facts"]["tensor"]

    return spoil


@needs_litert
def test_a_spoilt_op_is_cut_out_of_both_files(
    tmp_path: Path, run_job: Run, toy: dict[str, Any], inputs: Path, spoilt: Callable[..., tuple[Path, int]]
) -> None:
    suspect, tensor = spoilt("CONV_2D")
    out = tmp_path / "cut"
    done = run_job(
        "ocr_conformance.diagnose.cut:ops",
        {"model": toy, "tensor": tensor, "quantizer": None},
        {"artifact": suspect, "reference": artifact(tmp_path / "float", "conv.tflite"), "inputs": inputs},
        out,
    )
    assert done["ok"], done
    facts = done["facts"]
    assert facts["cut"] and facts["named"]["kind"] == "CONV_2D"
    assert facts["sqnr_db"] < facts["limit_db"] < facts["best_db"]
    assert facts["inputs"][0]["dtype"] == "int8" and facts["inputs"][0]["scale"] > 0
    for file, kinds in (("float.tflite", ["CONV_2D"]), ("quantized.tflite", facts["ops"])):
        found = run_job(f"{tmp_path / 'spoil.py'}:names", {"file": file}, {"folder": out}, tmp_path / file)["facts"]
        assert found == {"ops": kinds, "signature": True}
    with np.load(out / "expected.npz") as expected, np.load(out / "actual.npz") as actual:
        right, value = expected["output_0"], actual["output_0"]
    noise = 10 * np.log10(np.square(right).sum() / np.square(right - value).sum())
    assert noise == pytest.approx(facts["sqnr_db"], abs=0.01)
    assert not (out / "calibration.npz").exists()


@needs_litert
@needs_quantizer
def test_the_quantizer_is_tried_on_the_part_alone_and_found_innocent(
    tmp_path: Path, run_job: Run, toy: dict[str, Any], inputs: Path, spoilt: Callable[..., tuple[Path, int]]
) -> None:
    suspect, tensor = spoilt("CONV_2D")
    options = {"mode": "full-int8", "recipe": "all", "dynamic": "", "ranges": "extremes"}
    done = run_job(
        "ocr_conformance.diagnose.cut:ops",
        {"model": toy, "tensor": tensor, "quantizer": options},
        {
            "artifact": suspect,
            "reference": artifact(tmp_path / "float", "conv.tflite"),
            "inputs": inputs,
            "calibration": inputs,
        },
        tmp_path / "cut",
    )
    assert done["ok"], done
    assert done["facts"]["requantizing"] == ""
    assert done["facts"]["requantized_db"] > 25
    with np.load(tmp_path / "cut" / "calibration.npz") as calibration:
        assert 1 <= len(calibration["input_0"]) <= 4  # the extremes of two tensors, of 6 samples
        assert calibration["input_0"].shape[1:] == (1, 8, 8, 1)


@needs_litert
def test_a_right_artifact_has_nothing_to_cut(
    tmp_path: Path, run_job: Run, toy: dict[str, Any], inputs: Path, spoilt: Callable[..., tuple[Path, int]]
) -> None:
    right, tensor = spoilt("CONV_2D", 1.0)
    done = run_job(
        "ocr_conformance.diagnose.cut:ops",
        {"model": toy, "tensor": tensor, "quantizer": None},
        {
            "artifact": right,
            "reference": artifact(tmp_path / "float", "conv.tflite"),
            "inputs": inputs,
        },
        tmp_path / "cut",
    )
    assert not done["ok"] and "there is no defect of 20 dB or less to show" in done["message"]


PROGRAM = """
import torch
from ocr_conformance.diagnose.program import Program, given_by, smallest


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
        self.lstm = torch.nn.LSTM(6, 6, batch_first=True)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for _ in range(6):
            x = x.sin()
        x, _ = self.lstm(x)
        state = x.new_zeros(1, 6)
        x = torch.tanh(x + state.unsqueeze(1))
        for _ in range(6):
            x = x.cos()
        kept = x.new_zeros(3)
        kept.copy_(self.last(x)[0, 0])
        return kept, self.last(x).softmax(1)


def names(nodes):
    return sorted(node.name for node in nodes)


def cut(job):
    job.stage("export")
    x = torch.rand(1, 5, 4)
    program = Program(Network().eval(), (x,))
    whole, fed = program.part(program.whole)
    tried = []

    def wrong(kept):
        tried.append(kept)
        return {"tanh", "add", "lstm"} <= {node.name for node in kept}

    kept = smallest(program, program.named("tanh"), wrong, 60.0)
    part, given = program.part(kept)
    ends = [program.values[node] for node in program.ends(kept)]
    agree = all(torch.allclose(torch.from_numpy(a), b) for a, b in zip(given_by(part, given), ends))
    return {
        "whole": [list(each.shape) for each in given_by(whole, fed)],
        "right": bool(torch.allclose(torch.from_numpy(given_by(whole, fed)[1]), Network().eval()(x)[1])),
        "kept": names(kept),
        "given": names(program.edge(kept)),
        "agree": agree,
        "tried": len(tried),
        "never": smallest(program, program.named("tanh"), lambda kept: False, 60.0) is None,
        "late": smallest(program, program.named("tanh"), wrong, 0.0) is None,
        "meta": sorted({key for node in part.graph.nodes for key in node.meta} & {"nn_module_stack"}),
    }
"""


@needs_torch
def test_a_program_is_cut_to_the_nodes_that_it_takes(tmp_path: Path, run_job: Run) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run_job(f"{tmp_path / 'program.py'}:cut", {}, {})
    assert done["ok"], done
    facts = done["facts"]
    assert facts["whole"] == [[3], [1, 5, 3]] and facts["right"]
    assert {"tanh", "lstm", "add", "getitem"} <= set(facts["kept"])
    assert not {"relu", "softmax", "sin", "cos", "linear"} & set(facts["kept"])
    assert facts["given"] == ["sin_5"]
    assert facts["agree"]
    assert facts["never"] and facts["late"]
    assert facts["tried"] < 40


NETWORK = """
from ocr_conformance.model import TensorSpec, TorchModel


class Small(TorchModel):
    def inputs(self):
        return [TensorSpec("x", (1, 4), "float32")]

    def outputs(self):
        return [TensorSpec("y", (1, 3), "float32")]

    def torch_model(self, *, form="source"):
        import torch

        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).eval()

    preprocess = phone_preprocess = None
"""


@needs_litert_torch
def test_a_program_of_which_no_part_is_wrong_stays_whole(tmp_path: Path, run_job: Run) -> None:
    (tmp_path / "model.py").write_text(NETWORK)
    (tmp_path / "inputs").mkdir()
    np.savez(tmp_path / "inputs" / "inputs.npz", x=np.ones((2, 4), np.float32))
    weights = {"name": "seeded", "path": None, "sha256": ""}
    model = {"adapter": f"{tmp_path / 'model.py'}:Small", "variant": "", "weights": weights}
    out = tmp_path / "cut"
    done = run_job(
        "ocr_conformance.diagnose.program:cut",
        {"model": model, "form": "source", "node": "relu"},
        {"inputs": tmp_path / "inputs"},
        out,
    )
    assert done["ok"], done
    assert not done["facts"]["cut"] and done["facts"]["nodes"] == done["facts"]["of"] == 3
    with np.load(out / "expected.npz") as expected, np.load(out / "actual.npz") as actual:
        np.testing.assert_allclose(actual["0"], expected["0"], atol=1e-5)
    assert (out / "model.pt2").exists()


@needs_litert
def test_an_op_that_is_refused_is_cut_out_and_else_the_whole_file_is_kept(
    tmp_path: Path, run_job: Run, toy: dict[str, Any], inputs: Path, spoilt: Callable[..., tuple[Path, int]]
) -> None:
    whole = artifact(tmp_path / "whole", "conv.tflite")
    done = run_job(
        "ocr_conformance.diagnose.cut:refused",
        {"model": toy, "message": "RuntimeError: Node number 0 (CONV_2D) failed to prepare."},
        {"artifact": whole, "inputs": inputs},
        tmp_path / "cut",
    )
    assert done["ok"] and done["facts"] == {"cut": False, "ops": []}  # alone, this op is allocated
    assert (tmp_path / "cut" / "model.tflite").read_bytes() == (whole / "model.tflite").read_bytes()
    with np.load(tmp_path / "cut" / "inputs.npz") as archive:
        assert archive["input_0"].shape == (1, 8, 8, 1)
    # a scale of zero: it cannot be prepared
    suspect, _ = spoilt("CONV_2D", 0.0)
    done = run_job(
        "ocr_conformance.diagnose.cut:refused",
        {"model": toy, "message": "RuntimeError: Node number 0 (CONV_2D) failed to prepare."},
        {"artifact": suspect, "inputs": inputs},
        tmp_path / "refused",
    )
    assert done["ok"] and done["facts"] == {"cut": True, "ops": ["CONV_2D"]}
    with np.load(tmp_path / "refused" / "inputs.npz") as archive:
        assert archive["input_0"].shape == (1, 8, 8, 1) and not archive["input_0"].any()
