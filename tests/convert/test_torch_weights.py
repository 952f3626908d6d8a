"""A user's ``.pth`` file: what fits is loaded, what does not is refused in one sentence, nothing in it is run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")

Run = Callable[..., dict[str, Any]]
PRELOAD = ("torch",)
ADAPTER = Path(__file__).parents[2] / "models" / "deep-text-recognition" / "model.py"


def reference(path: Path | None) -> dict[str, Any]:
    weights = {"name": path.name if path else "seeded", "path": str(path) if path else None, "sha256": ""}
    return {"adapter": f"{ADAPTER}:DeepTextRecognition", "variant": "None-VGG-None-CTC", "weights": weights}


JOBS = '''
import torch
from ocr_conformance.model import build


def save(job):
    """The seeded network's state dict, changed as the test asks."""
    state = build(job.params["model"]).torch_model().state_dict()
    change = job.params["change"]
    if change == "prefix":
        state = {f"module.{key}": value for key, value in state.items()}
    elif change == "old":
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    elif change == "missing":
        del state["Prediction.bias"]
    elif change == "shape":
        state["Prediction.bias"] = torch.zeros(95)
    elif change == "surplus":
        state["Transformation.x"] = torch.zeros(1)
    elif change == "checkpoint":
        state = {"epoch": 3, "state_dict": state}
    elif change == "list":
        state = list(state.values())
    elif change == "module":
        state = torch.nn.Linear(2, 2)
    torch.save(state, job.params["path"])
    return {}


def load(job):
    """How far the network with the file's weights is from the seeded one."""
    given = build(job.params["model"]).torch_model().state_dict()
    seeded = build(job.params["seeded"]).torch_model().state_dict()
    return {"difference": max(float((given[key] - seeded[key]).abs().max()) for key in seeded)}
'''


@pytest.fixture
def load(tmp_path: Path, run_job: Run) -> Callable[..., dict[str, Any]]:
    """Load a file that ``change`` or ``data`` makes; the job's result."""
    jobs = tmp_path / "jobs.py"
    jobs.write_text(JOBS)

    def loaded(change: str = "", data: bytes | None = None) -> dict[str, Any]:
        path = tmp_path / "mine.pth"
        if data is None:
            made = run_job(f"{jobs}:save", {"model": reference(None), "change": change, "path": str(path)})
            assert made["ok"], made
        else:
            path.write_bytes(data)
        return run_job(f"{jobs}:load", {"model": reference(path), "seeded": reference(None)})

    return loaded


@pytest.mark.parametrize("change", ["", "prefix", "old"])
def test_what_fits_is_loaded(load: Callable[..., dict[str, Any]], change: str) -> None:
    assert load(change)["facts"] == {"difference": 0.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"weights mine.pth: no 'Prediction.bias', which the network needs (shape (37,))"),
        ("shape", r"weights mine.pth: 'Prediction.bias' has shape (95,), the network needs (37,)"),
        ("surplus", r"weights mine.pth: 'Transformation.x' is no weight of the network"),
        ("checkpoint", "the file holds a dict with 'epoch', which is no tensor: give its state dict alone"),
        ("list", "expected a state dict (tensors by name), the file holds a list"),
        ("module", "it holds more than tensors (a pickled object, or code), which is refused and was not run"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(load: Callable[..., dict[str, Any]], change: str, message: str) -> None:
    result = load(change)
    assert (result["ok"], result["type"]) == (False, "ValueError")
    assert message in result["message"]
    assert "\n" not in result["message"]


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(60)])
def test_a_foreign_file_is_refused(load: Callable[..., dict[str, Any]], data: bytes) -> None:
    result = load(data=data)
    assert (result["ok"], result["type"]) == (False, "ValueError")
    assert result["message"].startswith("weights mine.pth: ")
    assert "\n" not in result["message"]
