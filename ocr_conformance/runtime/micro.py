"""Run a ``.tflite`` file in the interpreter of TFLite Micro (the distribution ``tflite-micro``)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import resource
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocr_conformance.job import Job
    from ocr_conformance.model import Tensors

_ARENAS = tuple(2**power for power in (22, 24, 26, 28))
"""Bytes of the arenas that are tried, one after the other, while the file needs more."""

# tensorflow/lite/micro/{micro_allocator,arena_allocator/single_arena_buffer_allocator}.cc
_TOO_SMALL = re.compile(r"Arena size is too small|Requested: \d+, available \d+, missing: \d+")
# tensorflow/lite/micro/micro_interpreter{,_graph}.cc and micro_allocation_info.cc
_UNKNOWN = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_NODE = re.compile(r"Node (\w+) \(number \d+\) failed to")
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")


def run(job: Job) -> dict[str, Any]:
    """Allocate the artifact and run it on the first inputs, its state reset after each.

    Params: ``samples`` (how many inputs), ``most_bytes`` (larger files are not tried) and ``seconds`` (of processor
    time, after which SIGXCPU ends the process: Keras 3's WHILE runs without end there); both may be ``None``. Inputs:
    ``artifact``, ``inputs`` (folder of `source.prepare`). Files, where it runs: ``outputs.npz``, one array per output
    in the file's order (``0``, ``1``, ...), float32 ``[samples, ...]``, de-quantized.

    Returns:
        ``why``: it was not tried, and why; else ``runtime``, ``runs``, and where it does ``samples`` and
        ``arena_bytes`` (what it used of the arena on this 64-bit machine, `print_allocations`); where not ``stage``,
        ``message`` (what TFLite Micro said) and ``op`` (the op that it named, or empty).
    """
    path = job.inputs["artifact"] / ARTIFACT
    most = job.params["most_bytes"]
    if most is not None and path.stat().st_size > most:
        return {"why": f"not tried: the file has more than {most:,} bytes, and the contract does not demand the target"}
    from tflite_micro.python.tflite_micro import runtime

    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    count = min(job.params["samples"], tensors.count(inputs))
    samples = [tensors.sample(inputs, index) for index in range(count)]
    facts: dict[str, Any] = {"runtime": f"tflite-micro {importlib.metadata.version('tflite-micro')}"}
    if job.params["seconds"] is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + job.params["seconds"]
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    outputs = len(runtime.convert_bytearray_to_object(path.read_bytes()).subgraphs[0].outputs)
    said: list[str] = []
    for arena in _ARENAS:
        stage = "allocate"
        job.stage(stage)
        said.clear()
        try:
            with _listening(said):
                interpreter = runtime.Interpreter.from_file(str(path), arena_size=arena)
            stage = "invoke"
            job.stage(stage)
            with _listening(said):
                results = [_invoke(interpreter, sample, outputs) for sample in samples]
                interpreter.print_allocations()
        except (RuntimeError, ValueError) as error:
            if arena != _ARENAS[-1] and _TOO_SMALL.search("\n".join(said)):
                continue
            return {**facts, "runs": False, "stage": stage, **_blame(said, error)}
        tensors.save(job.out / "outputs.npz", tensors.stack(results))
        needed = _ARENA.search("\n".join(said))
        return {**facts, "runs": True, "samples": count, "arena_bytes": int(needed[1]) if needed else None}
    raise AssertionError("unreachable")


def _blame(said: list[str], error: Exception) -> dict[str, str]:
    """The op that failed, and what was said of it."""
    text = "\n".join(said)
    unknown, node = _UNKNOWN.search(text), _NODE.search(text)
    if unknown:
        return {"op": unknown[1], "message": f"has no op {unknown[1]}"}
    words = [line for line in said if line.strip() and not line.startswith(("[Rec", "Node ", "Failed to get reg"))]
    message = f"{words[0] if words else error}"
    return {"op": node[1] if node else "", "message": message}


def _invoke(interpreter: Any, sample: Tensors, outputs: int) -> Tensors:
    """One invoke, its outputs by their number; inputs are fed in the file's order."""
    for index, value in enumerate(sample.values()):
        details = interpreter.get_input_details(index)
        scale, zero_point = _quantization(details)
        if scale and value.dtype.kind == "f":
            value = tensors.quantize(value, details["dtype"], scale, zero_point)  # noqa: PLW2901
        interpreter.set_input(value.astype(details["dtype"], copy=False), index)
    interpreter.invoke()
    results: dict[str, Any] = {}
    for index in range(outputs):
        scale, zero_point = _quantization(interpreter.get_output_details(index))
        value = interpreter.get_output(index)
        if scale and value.dtype.kind in "iu":
            value = tensors.dequantize(value, scale, zero_point)
        results[str(index)] = value
    interpreter.reset()
    return tensors.as_float32(results)


def _quantization(details: Any) -> tuple[float, int]:
    """Scale and zero point of a tensor; 0.0 and 0 where it has none."""
    parameters = details["quantization_parameters"]
    if not len(parameters["scales"]):
        return 0.0, 0
    return float(parameters["scales"][0]), int(parameters["zero_points"][0])


@contextlib.contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Add what is written to standard error meanwhile, by C++ too, to ``said``; it is still written there."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            heard.seek(0)
            text = heard.read()
            os.write(2, text)
            said += text.decode(errors="replace").splitlines()
