"""The smallest part of a ``.tflite`` file for a repro: what a quantizer spoils, or what a runtime refuses to load."""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.calibration import read_calibration
from ocr_conformance.convert.saved_model import SIGNATURE
from ocr_conformance.diagnose.align import tensor_name
from ocr_conformance.diagnose.explain import Pair, Sources, layer
from ocr_conformance.diagnose.runner import Runner, dequantized
from ocr_conformance.diagnose.stats import Sums
from ocr_conformance.diagnose.surgery import Surgeon
from ocr_conformance.inspect.tflite import TFLiteFile, scales_of
from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import ARTIFACT, interpreter_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocr_conformance.diagnose.explain import Unit
    from ocr_conformance.diagnose.runner import Values
    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel

    Arrays = list[npt.NDArray[Any]]

LIMIT_DB = 20.0
"""An op of 8 bits leaves 30 dB and more of ordinary numbers; one that leaves less than this is wrong."""

LEVELS = 16
"""How many steps ahead of the named op ops are taken in, before the whole network is."""

_NODE = re.compile(r"Node number (\d+) \((\w+)\)")


@dataclass(frozen=True)
class Part:
    """A part of the reference and what stands for it in the artifact; tensors by their numbers in either file."""

    reference_inputs: tuple[int, ...]
    suspect_inputs: tuple[int, ...]
    feeds: tuple[int, ...]
    """For every input of the artifact's part, the place among the reference's inputs of what it is fed."""
    reference_output: int
    suspect_output: int
    computed: tuple[int, ...]
    """What the reference's part computes."""


def parts(pair: Pair, unit: Unit, levels: int) -> Iterator[Part]:
    """The op that computes a unit's output, then with those ahead of it, step by step."""
    makers = {tensor: place for place, op in enumerate(pair.reference.ops[0]) for tensor in op.outputs}
    if unit.partner not in makers:
        return
    kept = {makers[unit.partner]}
    for _ in range(levels):
        edge = _edge(pair, kept)
        unknown = [tensor for tensor, ours in edge if ours is None]
        if not unknown:
            given = tuple(dict.fromkeys(tensor for tensor, _ in edge))
            ours = {version: given.index(tensor) for tensor, version in edge if version is not None}
            computed = tuple(sorted(t for place in kept for t in pair.reference.ops[0][place].outputs))
            yield Part(given, tuple(ours), tuple(ours.values()), unit.partner, unit.tensor, computed)
        more = {makers[tensor] for tensor in (unknown or [tensor for tensor, _ in edge]) if tensor in makers}
        if more <= kept:
            return
        kept |= more


def _edge(pair: Pair, kept: set[int]) -> list[tuple[int, int | None]]:
    """The activations that ops of the reference read of others, each with the artifact's tensor that stands for it."""
    file = pair.reference
    made = {tensor for place in kept for tensor in file.ops[0][place].outputs}
    found: list[tuple[int, int | None]] = []
    for place in sorted(kept):
        for slot, tensor in enumerate(file.ops[0][place].inputs):
            if tensor < 0 or tensor in made or file.data(0, tensor) is not None or file.tensor(0, tensor).isVariable:
                continue
            found.append((tensor, pair.reads.get((place, slot))))
    return list(dict.fromkeys(found))


def extracted(content: bytes, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
    """A file of the ops between these tensors, with a signature.

    Raises:
        ValueError: the outputs need more than these inputs.
    """
    surgeon = Surgeon(content)
    surgeon.extract(inputs, outputs)
    surgeon.sign(SIGNATURE)
    return surgeon.pack()


def run(content: bytes, arrays: Arrays) -> Arrays:
    """What a file gives, de-quantized, for (float) arrays in the order of its inputs."""
    file = TFLiteFile(content)
    outputs = [int(index) for index in file.graphs[0].outputs]
    feeds = {int(index): array for index, array in zip(file.graphs[0].inputs, arrays, strict=True)}
    values = Runner(content)(feeds, outputs)
    return [dequantized(file, index, values[index]) for index in outputs]


def sqnr(expected: Arrays, actual: Arrays) -> float:
    """Of the worst output, dB."""
    found = []
    for right, value in zip(expected, actual, strict=True):
        sums = Sums()
        sums.add(right, value)
        found.append(sums.sqnr_db)
    return min(found)


def _recorded(content: bytes, wanted: Sequence[int], feeds: Sequence[Values]) -> Iterator[Values]:
    """Tensors of a float file for each of the samples; those that it is fed are among them."""
    computed = [tensor for tensor in dict.fromkeys(wanted) if tensor not in feeds[0]]
    if not computed:
        yield from feeds
        return
    surgeon = Surgeon(content)
    surgeon.set_outputs(computed)
    runner = Runner(surgeon.pack())
    for fed in feeds:
        yield {**fed, **runner(fed, computed)}


def _extremes(content: bytes, part: Part, feeds: Sequence[Values], *, every: bool) -> list[Arrays]:
    """Inputs of a part, of those samples in which one of its tensors is smallest or largest: its ranges are theirs.

    Args:
        every: of all samples: ranges are no extremes.
    """
    import numpy as np

    watched = [*part.reference_inputs, *part.computed]
    lowest: dict[int, tuple[float, int]] = {}
    highest: dict[int, tuple[float, int]] = {}
    kept: dict[int, Arrays] = {}
    for number, values in enumerate(_recorded(content, watched, feeds)):
        for tensor in watched:
            value = values[tensor]
            if value.dtype.kind == "f" and value.size:
                low, high = float(np.min(value)), float(np.max(value))
                if tensor not in lowest or low < lowest[tensor][0]:
                    lowest[tensor] = low, number
                if tensor not in highest or high > highest[tensor][0]:
                    highest[tensor] = high, number
        used = {number for _, number in (*lowest.values(), *highest.values())}
        kept[number] = [values[tensor] for tensor in part.reference_inputs]
        kept = {each: arrays for each, arrays in kept.items() if every or each in used}
    return list(kept.values())


def _described(file: TFLiteFile, indices: Sequence[int]) -> list[dict[str, Any]]:
    found = []
    for index in indices:
        parameters = file.tensor(0, index).quantization
        scales = scales_of(file.tensor(0, index))
        points = [] if parameters is None or parameters.zeroPoint is None else [int(n) for n in parameters.zeroPoint]
        one = len(scales) == 1
        found.append(
            {
                "tensor": tensor_name(file, index),
                "shape": file.shape(0, index),
                "dtype": file.dtype(0, index).lower(),
                "scale": scales[0] if one else None,
                "zero_point": (points or [0])[0] if one else None,
            }
        )
    return found


def ops(job: Job) -> dict[str, Any]:
    """Cut the artifact and the float file of the same network to the smallest part that is still wrong.

    Params: ``model``; ``tensor``: the artifact's that the named op makes (``index`` of `explain.explain`);
    ``quantizer``: of an artifact that litert-quantizer made, the parameters of that hop, else ``None``. Inputs:
    ``artifact``, ``reference`` (folders with ``model.tflite``), ``inputs`` (folder of `source.prepare`) and for the
    quantizer ``calibration`` (the same).
    Files: ``float.tflite``, ``quantized.tflite``; of one sample ``inputs.npz`` (the float part's, ``input_0``, ...),
    ``expected.npz`` and ``actual.npz`` (``output_0``, ...); where the quantizer spoils the part alone, too,
    ``calibration.npz`` (``[N, ...]`` by input) and ``requantized.npz``, what the file gives that it made of the part.

    Returns:
        ``cut``: whether it is a part of the network; ``named`` (``kind``, ``tensor``, ``layer``); ``ops``: kinds of the
        artifact's part; ``feeds`` (see `Part`); ``sqnr_db``, ``best_db`` (what 8 bits over the range of the expected
        numbers would leave), ``requantized_db`` (``None``: not tried, or it failed) and ``requantizing`` (how it
        failed, or empty); ``inputs`` and ``outputs``: ``tensor``, ``shape``, ``dtype``, ``scale``, ``zero_point`` in
        the artifact's part; ``limit_db``.

    Raises:
        ValueError: neither a part nor the whole network leaves less than `LIMIT_DB` of the output.
    """
    model: SourceModel = build(job.params["model"])
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    job.stage("allocate")
    pair = Pair(*((job.inputs[name] / ARTIFACT).read_bytes() for name in ("artifact", "reference")))
    sources = Sources(job, model, inputs, pair)
    unit = next(each for each in pair.units if each.tensor == job.params["tensor"])
    job.stage("invoke")
    found = _smallest(pair, sources, unit)
    if found is None:
        part, files = None, (pair.reference_bytes, pair.suspect_bytes)
        order = sources.feeds(sources.reference, 0)
        arrays = [order[int(index)] for index in pair.reference.graphs[0].inputs]
        feeds = _same_order(sources, pair)
    else:
        part, files, arrays = found
        feeds = list(part.feeds)
    expected, actual = run(files[0], arrays), run(files[1], [arrays[place] for place in feeds])
    left = sqnr(expected, actual)
    if left >= LIMIT_DB:
        raise ValueError(f"{left:.1f} dB of the output are left: there is no defect of {LIMIT_DB:g} dB or less to show")
    for name, content in zip(("float", "quantized"), files, strict=True):
        (job.out / f"{name}.tflite").write_bytes(content)
    _save(job.out / "inputs.npz", "input", arrays)
    _save(job.out / "expected.npz", "output", expected)
    _save(job.out / "actual.npz", "output", actual)
    facts = {"requantized_db": None, "requantizing": ""}
    if part is not None and job.params["quantizer"] is not None:
        job.stage("convert")
        names = [spec.name for spec in model.inputs()]
        places = dict(zip(names, sources.reference, strict=True))
        facts = _requantize(job, pair.reference_bytes, part, places=places, arrays=arrays, expected=expected)
    file = TFLiteFile(files[1])
    return {
        "cut": part is not None,
        "named": {
            "kind": unit.op.name,
            "tensor": tensor_name(pair.suspect, unit.tensor),
            "layer": layer(tensor_name(pair.suspect, unit.tensor)),
        },
        "ops": [op.name for op in file.ops[0]],
        "feeds": feeds,
        "sqnr_db": left,
        "best_db": _best(expected),
        "inputs": _described(file, [int(i) for i in file.graphs[0].inputs]),
        "outputs": _described(file, [int(i) for i in file.graphs[0].outputs]),
        "limit_db": LIMIT_DB,
        **facts,
    }


def _smallest(pair: Pair, sources: Sources, unit: Unit) -> tuple[Part, tuple[bytes, bytes], Arrays] | None:
    fed = [sources.feeds(sources.reference, 0)]
    for part in parts(pair, unit, LEVELS):
        with contextlib.suppress(ValueError, RuntimeError):  # it cannot be cut there, or does not run by itself
            reference = extracted(pair.reference_bytes, part.reference_inputs, [part.reference_output])
            suspect = extracted(pair.suspect_bytes, part.suspect_inputs, [part.suspect_output])
            values = next(_recorded(pair.reference_bytes, part.reference_inputs, fed))
            arrays = [values[tensor] for tensor in part.reference_inputs]
            left = sqnr(run(reference, arrays), run(suspect, [arrays[place] for place in part.feeds]))
            if left < LIMIT_DB:
                return part, (reference, suspect), arrays
    return None


def _same_order(sources: Sources, pair: Pair) -> list[int]:
    """For every input of the whole artifact, in the file's order, the place of the float file's that means the same."""
    theirs = [int(index) for index in pair.reference.graphs[0].inputs]
    by_ours = dict(zip(sources.suspect, sources.reference, strict=True))
    return [theirs.index(by_ours[int(index)]) for index in pair.suspect.graphs[0].inputs]


def _requantize(
    job: Job, reference: bytes, part: Part, *, places: dict[str, int], arrays: Arrays, expected: Arrays
) -> dict[str, Any]:
    """Let litert-quantizer quantize the float part alone, calibrated on what the part is fed in the whole network.

    Args:
        places: the reference's input tensor by the name that the model declares.
    """
    import numpy as np

    from ocr_conformance.convert import litert_quantizer

    options = job.params["quantizer"]
    model = str(job.out / "float.tflite")
    samples: dict[str, npt.NDArray[Any]] = {}
    try:
        recipe = litert_quantizer.recipe(
            options["mode"], scoped=options["recipe"] == "scoped", dynamic=options["dynamic"]
        )
        ranges = None
        if recipe.need_calibration():
            read = read_calibration(job.inputs["calibration"])
            feeds = [
                {index: read[name][number : number + 1] for name, index in places.items()}
                for number in range(tensors.count(read))
            ]
            listed = [
                {f"input_{place}": array for place, array in enumerate(each)}
                for each in _extremes(reference, part, feeds, every=options["ranges"] != "extremes")
            ]
            # A new axis: the first one of a tensor inside a network need not be the batch.
            samples = {name: np.stack([each[name] for each in listed]) for name in listed[0]}
            ranges = litert_quantizer.observe(model, recipe, listed, options["ranges"])
        given = run(litert_quantizer.quantized(model, recipe, ranges), arrays)
    except Exception as error:  # evidence: the part alone is refused
        return {"requantized_db": None, "requantizing": f"{type(error).__name__}: {error}"[:300]}
    if samples:
        tensors.save(job.out / "calibration.npz", samples)
    _save(job.out / "requantized.npz", "output", given)
    return {"requantized_db": sqnr(expected, given), "requantizing": ""}


def _best(expected: Arrays) -> float:
    """SQNR, dB, that 256 steps over the range of the expected numbers (and zero) leave of them; of the worst output."""
    import numpy as np

    rounded = []
    for value in expected:
        low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
        step = (high - low) / 255 or 1.0
        rounded.append(np.rint((value - low) / step) * step + low)
    return sqnr(expected, rounded)


def _save(path: Path, kind: str, arrays: Arrays) -> None:
    tensors.save(path, {f"{kind}_{place}": each for place, each in enumerate(arrays)})


def refused(job: Job) -> dict[str, Any]:
    """Cut an artifact to the op that the runtime refuses to prepare, where its message names one.

    Params: ``model``, ``message``. Inputs: ``artifact``, ``inputs`` (folder of `source.prepare`). Files:
    ``model.tflite``; ``inputs.npz``, of one sample, in the order of the file's inputs (``input_0``, ...): of an op
    alone zeros, since nothing is computed.

    Returns:
        ``cut``; ``ops``: the kinds of what is left of a cut file.
    """
    import numpy as np

    job.stage("allocate")
    path = job.inputs["artifact"] / ARTIFACT
    content = path.read_bytes()
    file = TFLiteFile(content)
    interpreter, _ = interpreter_class()
    for number, kind in _NODE.findall(job.params["message"]):
        op = next(iter(file.ops[0][int(number) : int(number) + 1]), None)
        if op is None or op.name != kind:  # inside of a loop
            continue
        inputs = [i for i in dict.fromkeys(op.inputs) if i >= 0 and file.data(0, i) is None]
        inputs = [i for i in inputs if not file.tensor(0, i).isVariable]
        alone = extracted(content, inputs, op.outputs)
        try:
            interpreter(model_content=alone, num_threads=1).allocate_tensors()
        except RuntimeError:
            (job.out / ARTIFACT).write_bytes(alone)
            _save(job.out / "inputs.npz", "input", [np.zeros(file.shape(0, i), np.float32) for i in inputs])
            return {"cut": True, "ops": [op.name]}
    shutil.copyfile(path, job.out / ARTIFACT)
    model: SourceModel = build(job.params["model"])
    arrays = tensors.sample(tensors.load(job.inputs["inputs"] / "inputs.npz"), 0)
    names = [spec.name for spec in model.inputs()]
    _save(job.out / "inputs.npz", "input", [arrays[name] for name in names])
    return {"cut": False, "ops": []}
