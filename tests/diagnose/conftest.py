"""Small real networks: captcha-ocr as TensorFlow converts it, and the images that they are compared on."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Base:
    """Converted files of one run, the model they are of, and what it was fed."""

    folder: Path
    inputs: Path
    model: dict[str, Any]

    def file(self, name: str) -> bytes:
        """The file of a case, by ``MODEL/ROUTE/MODE``."""
        (found,) = self.folder.glob(f"{name.replace(':', '.')}@*.tflite")
        return found.read_bytes()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, evidence: Path) -> Base:
    """captcha-ocr by ``tf-lite``: with fused LSTMs in float32 and int8, with WHILE loops in float32."""
    for module in ("tensorflow", "keras", "tf_keras", "ai_edge_litert"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: real networks are looked into in tox's `modern`")
    folder = tmp_path_factory.mktemp("base")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest",
               "--ocr-model=captcha-ocr", "--ocr-model=captcha-ocr:tf-keras",
               "--ocr-route=tf-lite", "--ocr-mode=float32", "--ocr-mode=int8", "--ocr-check=conversion",
               f"--ocr-artifacts={folder}", f"--ocr-cache={evidence}"]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    contract = (CHECKOUT / "models" / "captcha-ocr" / "contract.toml").read_text()
    adapter = next(line for line in contract.splitlines() if line.startswith("adapter")).split('"')[1]
    model = {
        "adapter": f"{CHECKOUT / 'models' / 'captcha-ocr' / adapter}",
        "variant": "",
        "weights": {
            "name": "shipped",
            "path": str(CHECKOUT / "fixtures" / "weights" / "captcha_ocr_f16.npz"),
            "sha256": "",
        },
    }
    images = sorted((CHECKOUT / "fixtures" / "captcha").glob("*.png"))[:4]
    job = folder / "inputs"
    job.mkdir()
    listed = [{"path": str(path), "sha256": _sha256(path)} for path in images]
    (job / ".job.json").write_text(
        json.dumps(
            {
                "function": "ocr_conformance.runtime.source:prepare",
                "params": {"model": model, "images": listed},
                "inputs": {},
                "out": str(job),
            }
        )
    )
    subprocess.run(
        [sys.executable, "-m", "ocr_conformance.worker", "once", str(job / ".job.json")], check=True, timeout=300
    )
    return Base(folder, job, model)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
