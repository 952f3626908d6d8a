"""Arrays between jobs: files, names and number formats. What runs at batch 1 is stacked to ``[N, ...]`` in files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.model import Detector, Recognizer, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ocr_conformance.job import Job
    from ocr_conformance.model import Tensors

_SIZES = "sizes.json"
_BOXES = "boxes.json"


def load(path: Path) -> Tensors:
    """The arrays of an ``.npz`` file by name."""
    import numpy as np

    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def save(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write arrays as an ``.npz`` file (not compressed: it is read more often than it is kept)."""
    import numpy as np

    np.savez(path, **dict(tensors))


def stack(samples: Iterable[Tensors]) -> Tensors:
    """Stack batch-1 arrays ``[1, ...]`` of several samples to ``[N, ...]`` per name.

    Raises:
        ValueError: the samples differ in shape.
    """
    import numpy as np

    columns: dict[str, list[Any]] = {}
    for sample in samples:
        for name, value in sample.items():
            columns.setdefault(name, []).append(value)
    for name, values in columns.items():
        shapes = {value.shape for value in values}
        if len(shapes) > 1:
            raise ValueError(f"{name!r} changes its shape from sample to sample: {sorted(shapes)}")
    return {name: np.concatenate(values) for name, values in columns.items()}


def sample(tensors: Tensors, index: int) -> Tensors:
    """Sample ``index`` of stacked arrays, with its batch axis."""
    return {name: value[index : index + 1] for name, value in tensors.items()}


def count(tensors: Tensors) -> int:
    """Number of samples N of stacked arrays."""
    return len(next(iter(tensors.values())))


def one_by_one(call: Callable[[Tensors], Tensors], inputs: Tensors) -> Tensors:
    """What ``call`` gives for each sample ``[1, ...]`` of stacked arrays, stacked."""
    return stack(call(sample(inputs, index)) for index in range(count(inputs)))


def as_float32(tensors: Tensors) -> Tensors:
    """The form in which all outputs are stored and compared (whole numbers beyond 2**24 would lose digits)."""
    import numpy as np

    return {name: np.asarray(value, np.float32) for name, value in tensors.items()}


def match(wanted: Sequence[str], found: Sequence[Iterable[str]], what: str) -> tuple[list[int], str]:
    """Which of the ``found`` tensors each of the ``wanted`` names means.

    Args:
        wanted: names that the model declares.
        found: the names that each tensor of the file goes by (signature name, tensor name), in the file's order.
        what: ``input`` or ``output``, for the message.

    Returns:
        An index into ``found`` per wanted name, and how it was found: ``name`` or ``order``.

    Raises:
        ValueError: the numbers differ.
    """
    aliases = [set(names) for names in found]
    if len(wanted) != len(aliases):
        shown = ", ".join("/".join(sorted(names)) for names in aliases)
        raise ValueError(f"the model declares {len(wanted)} {what}s ({', '.join(wanted)}), the file has {shown}")
    by_name = [[i for i, names in enumerate(aliases) if name in names] for name in wanted]
    if all(len(indices) == 1 for indices in by_name):
        return [indices[0] for indices in by_name], "name"
    return list(range(len(wanted))), "order"


def quantize(values: Any, dtype: Any, scale: float, zero_point: int) -> Any:
    """``clip(round(x / scale) + zero_point)`` in ``dtype``, as an app fills an integer input (scale in units of x)."""
    import numpy as np

    limits = np.iinfo(dtype)
    steps = np.rint(np.asarray(values, np.float64) / scale) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def dequantize(values: Any, scale: float, zero_point: int) -> Any:
    """``(q - zero_point) * scale`` as float32."""
    import numpy as np

    return ((values.astype(np.float64) - zero_point) * scale).astype(np.float32)


def save_sizes(folder: Path, sizes: Sequence[tuple[int, int]]) -> None:
    """Keep (height, width) of each scene beside its tensors: boxes are decoded to pixels of the original image."""
    (folder / _SIZES).write_text(json.dumps(sizes))


def load_sizes(folder: Path) -> list[tuple[int, int]]:
    """What `save_sizes` kept; nothing where it kept none (a recognizer's inputs)."""
    path = folder / _SIZES
    return [(height, width) for height, width in json.loads(path.read_text())] if path.exists() else []


def decode_in(job: Job, model: Any, outputs: Tensors) -> dict[str, Any]:
    """`decode` for a job whose ``inputs`` are those of `source.prepare`; a detector's boxes are kept as a file, too."""
    facts = decode(model, outputs, load_sizes(job.inputs["inputs"]))
    if isinstance(model, Detector):
        (job.out / _BOXES).write_text(json.dumps(facts["boxes"]))
    return facts


def load_boxes(folder: Path) -> list[list[list[list[float]]]] | None:
    """What `decode_in` kept: the boxes of each sample, ``None`` where the outputs did not decode."""
    boxes: list[list[list[list[float]]]] | None = json.loads((folder / _BOXES).read_text())
    return boxes


def decode(model: Any, outputs: Tensors, sizes: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
    """Facts on what ``outputs`` (``[N, ...]``) say.

    Args:
        sizes: of the original images, for a detector; as `load_sizes` gives them.

    Returns:
        ``texts``: N strings of a recognizer, else ``None``; ``boxes``: of a detector, N lists of polygons (see
        `ocr_conformance.model.Detector.boxes`), else ``None``. ``undecoded`` says why there is neither: the outputs do
        not have the promised shape, or the decoding raised.
    """
    facts: dict[str, Any] = {"texts": None, "boxes": None}
    if not isinstance(model, Recognizer | Detector):
        return {**facts, "undecoded": "the model is neither recognizer nor detector"}
    for spec in model.outputs():
        shape = (1, *outputs[spec.name].shape[1:])
        if len(shape) != len(spec.shape) or any(b not in (a, -1) for a, b in zip(shape, spec.shape, strict=True)):
            reason = f"output {spec.name!r} has shape {list(shape)}, the model promises {list(spec.shape)}"
            return {**facts, "undecoded": reason}
    try:
        if isinstance(model, Recognizer):
            return {**facts, "texts": [str(text) for text in model.decode(outputs)]}
        found = [[[[float(x), float(y)] for x, y in box] for box in each] for each in model.boxes(outputs, list(sizes))]
        if not all(math.isfinite(value) for each in found for box in each for point in box for value in point):
            return {**facts, "undecoded": "a box has a corner that is no finite number"}
        return {**facts, "boxes": found}
    except Exception as error:  # an adapter's decoder given a broken network's numbers: evidence, not our crash
        return {**facts, "undecoded": f"{type(error).__name__}: {error}"}


def check(spec: TensorSpec, value: Any, origin: str) -> Any:
    """``value``, if it has the promised shape and dtype.

    Raises:
        ValueError: it has not.
    """
    shape = tuple(value.shape)
    if shape != spec.shape or str(value.dtype) != spec.dtype:
        raise ValueError(
            f"{origin} gives {spec.name!r} as {value.dtype}{list(shape)}, "
            f"the model declares {spec.dtype}{list(spec.shape)}"
        )
    return value
