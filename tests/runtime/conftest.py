"""The toy recognizer of tests/data, its inputs and its files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def toy() -> Callable[..., dict[str, Any]]:
    """Reference to the toy recognizer, as a job's parameter: ``toy(variant="")``."""

    def reference(variant: str = "") -> dict[str, Any]:
        weights = {"name": "none", "path": None, "sha256": ""}
        return {"adapter": f"{DATA / 'toy' / 'model.py'}:Toy", "variant": variant, "weights": weights}

    return reference


@pytest.fixture
def images(tmp_path: Path) -> list[dict[str, str]]:
    """Three 8 x 8 images, as `source.prepare` wants them: white, black, and a ramp from left to right."""
    ramp = np.tile(np.arange(0, 256, 32, dtype=np.uint8), (8, 1))
    found = []
    for name, pixels in (
        ("white", np.full((8, 8), 255, np.uint8)),
        ("black", np.zeros((8, 8), np.uint8)),
        ("ramp", ramp),
    ):
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        found.append({"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    return found


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[[str], Path]:
    """A folder with a file of tests/data as ``model.tflite``."""

    def place(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        shutil.copy(DATA / f"{name}.tflite", folder / "model.tflite")
        return folder

    return place
