"""The GPU delegate's rules against TensorFlow's own: its Analyzer runs gpu_compatibility.cc on a file.

Only that of TensorFlow 2.15 does: the Analyzers of TensorFlow 2.21 and ai-edge-litert 2.3 call every file compatible,
one with Flex ops or a loop too.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ocr_conformance import targets

DATA = Path(__file__).parent.parent / "data"
FILES = sorted(path.stem for path in DATA.glob("*.tflite"))


def _tensorflow() -> str:
    for name in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return ""


pytestmark = pytest.mark.skipif(
    not _tensorflow().startswith("2.15."), reason="the Analyzer of TensorFlow 2.15 is the last that looks at ops"
)


def analyze(job: Any) -> dict[str, Any]:
    """A job: per file, its facts and the op kinds that the Analyzer refuses, with what it says."""
    import tensorflow as tf

    from ocr_conformance.inspect.tflite import read

    found: dict[str, Any] = {}
    for path in sorted(job.inputs["files"].glob("*.tflite")):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            tf.lite.experimental.Analyzer.analyze(model_path=str(path), gpu_compatibility=True)
        refused: dict[str, str] = {}
        for op, words in re.findall(r"Op#\d+ (\w+)\(.*\n((?:GPU COMPATIBILITY WARNING: .*\n)+)", said.getvalue()):
            refused[op] = words.strip()
        found[path.stem] = {"facts": read(path), "refused": refused}
    return found


@pytest.fixture(scope="module")
def cache() -> dict[str, Any]:
    return {}


@pytest.fixture
def analyzed(cache: dict[str, Any], run_job: Callable[..., dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    """Of every file of tests/data; one process for all."""
    if not cache:
        folder = tmp_path / "files"
        shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("toy", "*.npz", "*.py"))
        result = run_job(f"{__file__}:analyze", inputs={"files": folder})
        assert result["ok"], result
        cache.update(result["facts"])
    return cache


@pytest.mark.parametrize("name", FILES)
def test_what_tensorflow_refuses_our_rules_refuse(analyzed: dict[str, Any], name: str) -> None:
    gpu = targets.evaluate(analyzed[name]["facts"])["gpu"]
    refused = set(analyzed[name]["refused"])
    if name == "conv-float16":
        refused -= {"CONV_2D", "DEPTHWISE_CONV_2D"}  # it does not see that DEQUANTIZE only unpacks the weights
    assert refused <= {op for op, taken in gpu.kinds.items() if not taken}


@pytest.mark.parametrize("name", FILES)
def test_what_only_our_rules_refuse_it_does_not_look_at(analyzed: dict[str, Any], name: str) -> None:
    gpu = targets.evaluate(analyzed[name]["facts"])["gpu"]
    more = [reason for reason in gpu.reasons if reason.op not in analyzed[name]["refused"]]
    # Types of tensors, versions of ops and unknown sizes; and it takes every broadcast for granted.
    for reason in more:
        looked_at = reason.source == targets.SOURCES["gpu-limits"]
        assert not looked_at or "cannot be broadcast" in reason.rule, reason
        assert "not among" not in reason.rule, reason
    assert analyzed["while"]["refused"].keys() >= {"WHILE", "SCATTER_ND", "BROADCAST_TO"}
    assert "FlexMatrixInverse" in "".join(analyzed["flex"]["refused"].values())
