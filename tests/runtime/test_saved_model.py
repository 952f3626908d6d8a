"""Running the SavedModel hop; needs TensorFlow, in the child only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., dict[str, Any]]
PRELOAD = ("tensorflow",)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="a SavedModel is run by tensorflow, which is not installed"
)


def test_a_saved_model_is_run_sample_by_sample(run_job: Run, toy: Run, inputs: Path, tmp_path: Path) -> None:
    result = run_job(f"{__file__}:save_and_run", {"model": toy()}, {"inputs": inputs}, tmp_path / "out")
    assert result["ok"], result
    assert result["facts"]["runtime"].startswith("tensorflow ")
    assert result["facts"]["mapping"] == "name"
    assert len(result["facts"]["texts"]) == 6
    with np.load(inputs / "inputs.npz") as given, np.load(tmp_path / "out" / "outputs.npz") as outputs:
        np.testing.assert_allclose(outputs["probabilities"], given["image"][:, :, :5, 0] / 2)


def save_and_run(job: Any) -> dict[str, Any]:
    """A job: a SavedModel that halves the first five columns; it refuses any batch but 1."""
    import tensorflow as tf

    from ocr_conformance.runtime.saved_model import run

    module = tf.Module()
    module.serve = tf.function(
        lambda image: {"probabilities": image[:, :, :5, 0] / 2},
        input_signature=[tf.TensorSpec((1, 8, 8, 1), tf.float32, "image")],
    )
    tf.saved_model.save(module, str(job.out / "saved_model"), signatures={"serving_default": module.serve})
    return run(type(job)(job.params, {**job.inputs, "artifact": job.out}, job.out))
