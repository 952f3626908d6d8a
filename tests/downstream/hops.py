"""The converter and the runtime of the toy models: job functions in a file of the repository's own."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from ocr_conformance.job import Job
from ocr_conformance.model import Detector, build
from ocr_conformance.runtime import tensors

_DTYPES = {"float16": "float16", "int8": "int8", "full-int8": "int8", "dynamic-range": "int8"}


def pack(job: Job) -> dict[str, Any]:
    """Store the five gray levels in the mode's type, or fail as ``fault`` says."""
    import numpy as np

    mode, fault = job.params["mode"], job.params["fault"]
    job.stage("convert")
    if fault == "by-mode":
        _fail(mode)
    if fault == "wait":
        time.sleep(job.params["seconds"])
    levels = np.tile(np.linspace(0.01, 0.97, 5, dtype=np.float32), (2000, 1))
    dtype = _DTYPES.get(mode, "float32")
    stored = np.round(levels * 100).astype(np.int8) if dtype == "int8" else levels.astype(dtype)
    if fault == "garbage" and dtype == "int8":
        stored = stored[:, ::-1].copy()
    if fault == "dark" and dtype == "int8":
        stored[:, 0] = -50  # the darkest frames are now nearer to the next character
    with (job.out / "model.bin").open("wb") as stream:
        np.savez(stream, levels=stored, leak=fault == "leak", mode=mode)
    return {"mode": mode}


def _fail(mode: str) -> None:
    if mode == "float16":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "dynamic-range":
        time.sleep(600)
    if mode == "int8":
        hoard = []
        while True:
            hoard.append(b"x" * 50_000_000)
    if mode == "full-int8":
        raise ValueError("'toy.Relu6' op is neither a custom op nor a flex op")
    if mode == "int16x8":
        os.abort()


class _Interpreter:
    def __init__(self, job: Job) -> None:
        import numpy as np

        with np.load(job.inputs["artifact"] / "model.bin") as archive:
            stored = archive["levels"]
            self.leak, self.mode = bool(archive["leak"]), str(archive["mode"])
        levels = stored[0].astype(np.float32)
        self.levels = levels / 100 if stored.dtype == np.int8 else levels
        self.dtype = stored.dtype
        self.state = 0.0
        self.model = build(job.params["model"]) if "model" in job.params else None
        self.output = self.model.outputs()[0].name if self.model else "probabilities"

    def invoke(self, image: Any) -> Any:
        import numpy as np

        if isinstance(self.model, Detector):
            ink = (1 - image) * (self.levels[-1] > self.levels[0])
            return np.asarray(ink, np.float32).reshape(1, *image.shape[-3:])
        frames = image.reshape(-1, 4, 5, 4).mean(axis=(1, 3))
        scores = np.exp(-40 * np.abs(frames[..., None] + self.state - self.levels))
        if self.leak:
            self.state += 0.3
        return (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)


class _Opened:
    """As `ocr_conformance.runtime.litert.Session`."""

    runtime = "numpy"

    def __init__(self, job: Job) -> None:
        self.interpreter = _Interpreter(job)

    def __call__(self, sample: Any) -> Any:
        self.interpreter.state = 0.0
        return {self.interpreter.output: self.interpreter.invoke(sample["image"])}


def open_artifact(job: Job, model: Any, inputs: Any) -> _Opened:
    """As `ocr_conformance.runtime.litert.open_artifact`."""
    return _Opened(job)


def run(job: Job) -> dict[str, Any]:
    """As `ocr_conformance.runtime.litert.run`."""
    import numpy as np

    model = build(job.params["model"])
    job.stage("allocate")
    interpreter = _Interpreter(job)
    job.stage("invoke")
    images = tensors.load(job.inputs["inputs"] / "inputs.npz")["image"]
    outputs = []
    for image in images:
        interpreter.state = 0.0
        outputs.append({interpreter.output: interpreter.invoke(image)})
    spec = model.outputs()[0]
    nothing = {spec.name: np.zeros((0, *spec.shape[1:]), np.float32)}
    stacked = tensors.stack(outputs) if outputs else nothing
    tensors.save(job.out / "outputs.npz", stacked)
    described = {"dtype": "float32", "scale": 0.0, "zero_point": 0}
    given, real = list(model.inputs()[0].shape), list(spec.shape)
    image = {"name": "image", "tensor": "image", "shape": given, "shape_signature": given, **described}
    shape = {"shape": real, "shape_signature": real, "real_shape": real}
    return {
        **tensors.decode_in(job, model, stacked),
        "runtime": "numpy",
        "inputs": [image],
        "outputs": [{"name": spec.name, "tensor": spec.name, **shape, **described}],
        "signature_names": ["serving_default"],
    }


def inspect(job: Job) -> dict[str, Any]:
    """As `ocr_conformance.inspect.tflite.inspect`, of the little that there is."""
    interpreter = _Interpreter(job)
    size = (job.inputs["artifact"] / "model.bin").stat().st_size
    dtype = {"int8": "INT8", "float16": "FLOAT16", "float32": "FLOAT32"}[str(interpreter.dtype)]
    stored = interpreter.dtype.itemsize * 10_000
    kind = "int8" if interpreter.mode == "full-int8" else "float32"
    macs = {"total": 0, "float": 0, "hybrid": 0, "integer": 0, "integer16": 0, "by_op": {}, "unknown_loops": 0}
    return {
        "bytes": size,
        "min_runtime": "1.0",
        "ops": [{"name": "DISTANCE", "kind": "builtin", "version": 1, "count": 1}],
        "inputs": [{"name": "image", "dtype": kind}],
        "outputs": [{"name": "probabilities", "dtype": kind}],
        "macs": {**macs, "uncertain_ops": 0},
        "weights": {"bytes": stored, "values": 10_000, "by_dtype": {dtype: stored}},
        "float_tensors": 0,
        "variable_tensors": 0,
        "anomalies": [],
    }


def repeat(job: Job) -> dict[str, Any]:
    """As `ocr_conformance.runtime.litert.repeat`: the same image twice, with and without a reset."""
    import numpy as np

    interpreter = _Interpreter(job)
    image = tensors.load(job.inputs["inputs"] / "inputs.npz")["image"][:1]
    first = interpreter.invoke(image)
    second = interpreter.invoke(image)
    interpreter.state = 0.0
    reset = interpreter.invoke(image)

    def scenario(other: Any) -> dict[str, Any]:
        difference = np.abs(first - other)
        index = int(difference.argmax())
        worst = {"output": interpreter.output, "first": float(first.flat[index]), "second": float(other.flat[index])}
        return {
            "max_abs": float(difference.max()),
            "scaled": float(difference.max() / (first.max() or 1.0)),
            "worst": worst,
            "first_values": first.flat[:3].tolist(),
            "second_values": other.flat[:3].tolist(),
            "first_texts": [],
        }

    return {
        "samples": 1,
        "runtime": "numpy",
        "scenarios": {"second": scenario(second), "second-reset": scenario(reset)},
    }


def latency(job: Job) -> dict[str, Any]:
    """As `ocr_conformance.runtime.latency.measure`: the artifact beside the float32 one, in turns."""
    contenders = {"artifact": _Interpreter(job)}
    if "baseline" in job.inputs:
        baseline = Job({"model": job.params["model"]}, {"artifact": job.inputs["baseline"]}, job.out)
        contenders["float32"] = _Interpreter(baseline)
    image = tensors.load(job.inputs["inputs"] / "inputs.npz")["image"][:1]
    facts: dict[str, Any] = {"threads": job.params["threads"], "rounds": 20, "stopped": "rounds", "runtime": "numpy"}
    for name in contenders:
        facts |= {f"{name}_ms": [], f"{name}_cpu_ms": []}
    for _ in range(20):
        for name, interpreter in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            interpreter.invoke(image)
            facts[f"{name}_ms"].append((time.perf_counter() - wall) * 1e3)
            facts[f"{name}_cpu_ms"].append((time.process_time() - cpu) * 1e3)
    return facts


def memory(job: Job) -> dict[str, Any]:
    """As `ocr_conformance.runtime.memory.measure`, by what the arrays take."""
    size = (job.inputs["artifact"] / "model.bin").stat().st_size
    steps = {f"{name}_bytes": size for name in ("baseline", "after_load", "after_allocate", "after_invoke", "peak")}
    return {**steps, "growth_bytes": size, "anonymous_growth_bytes": 0, "file_bytes": size, "peak_reset": True}
