"""Resident memory that loading, allocating and invoking an artifact takes. Runs in a fresh process."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, Session, interpreter_class

if TYPE_CHECKING:
    from ocr_conformance.job import Job

_STATUS = Path("/proc/self/status")
_INVOKES = 2  # the second shows what the first one only reserved


def _status() -> dict[str, int]:
    """Sizes in bytes from /proc/self/status (proc(5)): VmRSS, VmHWM, RssAnon, RssFile, ..."""
    found = {}
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if value.endswith("kB"):
            found[name] = int(value.split()[0]) * 1024
    return found


def _peak() -> int:
    """Peak resident bytes of this process image. ``getrusage`` would survive an exec and report the parent's peak."""
    if _STATUS.exists():
        return _status()["VmHWM"]
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _resident() -> dict[str, int]:
    """Resident bytes now, and how many of them belong to no file; without /proc the peak stands for both."""
    if _STATUS.exists():
        status = _status()
        return {"total": status["VmRSS"], "anonymous": status["RssAnon"]}
    return {"total": _peak(), "anonymous": _peak()}


def measure(job: Job) -> dict[str, Any]:
    """Growth of resident memory over load + allocate + invoke.

    Params: ``threads``. Inputs: ``artifact``, ``inputs`` (folder of `source.prepare`; its first sample is fed).

    The baseline is taken with numpy, the runtime and the inputs loaded. The interpreter maps the file instead of
    reading it; pages of the file that were touched are resident and **are counted** (as are pages of the runtime's own
    code touched for the first time): the kernel can drop them, so ``anonymous_growth_bytes`` tells what it cannot.

    Returns:
        ``baseline_bytes``, ``after_load_bytes``, ``after_allocate_bytes``, ``after_invoke_bytes``, ``peak_bytes``;
        ``growth_bytes`` = peak - baseline; ``anonymous_growth_bytes`` (after the invokes); ``file_pages_counted``
        (true); ``peak_reset``: whether the peak counter could be set back at the baseline (Linux; elsewhere an earlier
        peak can hide growth, and the growth is a lower bound); ``file_bytes``, ``threads``, ``runtime``,
        ``tensorflow_imported`` (true where TensorFlow is the runtime: it is then in the baseline).
    """
    threads: int = job.params["threads"]
    path = job.inputs["artifact"] / ARTIFACT
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    inputs = {name: value[:1].copy() for name, value in inputs.items()}
    interpreter_class()
    peak_reset = False
    if _STATUS.exists():
        with contextlib.suppress(OSError):  # proc(5): writing 5 sets VmHWM back to the resident size
            Path("/proc/self/clear_refs").write_text("5")
            peak_reset = True
    baseline = _resident()

    job.stage("allocate")
    session = Session(path, threads=threads, inputs=inputs, allocate=False)
    after_load = _resident()
    session.allocate()
    after_allocate = _resident()
    job.stage("invoke")
    for _ in range(_INVOKES):
        session(inputs)
    after_invoke = _resident()
    peak = _peak()
    return {
        "baseline_bytes": baseline["total"],
        "after_load_bytes": after_load["total"],
        "after_allocate_bytes": after_allocate["total"],
        "after_invoke_bytes": after_invoke["total"],
        "peak_bytes": peak,
        "growth_bytes": peak - baseline["total"],
        "anonymous_growth_bytes": after_invoke["anonymous"] - baseline["anonymous"],
        "file_pages_counted": True,
        "peak_reset": peak_reset,
        "file_bytes": path.stat().st_size,
        "threads": threads,
        "runtime": session.runtime,
        "tensorflow_imported": "tensorflow" in sys.modules,
    }
