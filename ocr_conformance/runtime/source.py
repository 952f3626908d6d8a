"""The source side of a case: what the network is fed, and what it answers in its own framework."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.scenes import read_rgb
from ocr_conformance.job import Changed
from ocr_conformance.model import Detector, Recognizer, build
from ocr_conformance.runtime import tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel, Tensors

_FRAMEWORKS = ("tensorflow", "keras", "tf_keras", "torch", "onnxruntime", "keras_ocr", "cv2", "PIL", "numpy")


def read_image(image: dict[str, str]) -> str:
    """The path of an image ``{"path", "sha256"}`` that a job was given, after a look at its bytes.

    Raises:
        Changed: it cannot be read, or has other bytes than when the run was planned.
    """
    path = image["path"]
    try:
        found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise Changed(f"the image {path} cannot be read: {error.strerror}") from None
    if found != image["sha256"]:
        raise Changed(f"the image {path} changed while the run was planned; run again")
    return path


def _read(model: SourceModel, image: dict[str, str], recipe: Callable[[str], Tensors], name: str) -> Tensors:
    path = read_image(image)
    try:
        arrays = recipe(path)
    except ValueError as error:
        raise ValueError(f"the image {path} does not decode: {error}") from error
    return {spec.name: tensors.check(spec, arrays[spec.name], f"{name} of {path}") for spec in model.inputs()}


def prepare(job: Job) -> dict[str, Any]:
    """Preprocess the images as the source library does and as the app does.

    Params: ``model`` (see `ocr_conformance.model.model_reference`), ``images``: ``[{"path", "sha256"}, ...]``.
    Files: ``inputs.npz`` and ``phone.npz``, one array ``[N, ...]`` of the spec's dtype per input; of a detector also
    the sizes of the images (`tensors.load_sizes`).

    Returns:
        ``input_specs``, ``output_specs`` (`TensorSpec` as dicts), ``samples``, ``files`` (names in order).

    Raises:
        ValueError: an image cannot be read, does not decode, or an adapter breaks its own promise of shape or dtype.
    """
    job.stage("source")
    images: list[dict[str, str]] = job.params["images"]
    if not images:
        raise ValueError("there are no images to prepare")
    model: SourceModel = build(job.params["model"])
    source = tensors.stack(_read(model, image, model.preprocess, "preprocess") for image in images)
    phone = tensors.stack(_read(model, image, model.phone_preprocess, "phone_preprocess") for image in images)
    tensors.save(job.out / "inputs.npz", source)
    tensors.save(job.out / "phone.npz", phone)
    if isinstance(model, Detector):
        tensors.save_sizes(job.out, [read_rgb(image["path"]).shape[:2] for image in images])
    return {
        "input_specs": [asdict(spec) for spec in model.inputs()],
        "output_specs": [asdict(spec) for spec in model.outputs()],
        "samples": len(images),
        "files": [Path(image["path"]).name for image in images],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries of the field that this process has imported."""
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in _FRAMEWORKS}
    return {name: str(version) for name, version in found.items() if version is not None}


def predict(job: Job) -> dict[str, Any]:
    """Run the source network, as shipped, on the prepared inputs.

    Params: ``model``. Inputs: ``inputs`` (folder of `prepare` or of `crops.cut`, which may hold no sample). Files:
    ``outputs.npz``, float32 ``[N, ...]`` by output; ``boxes.json`` (see `tensors.decode_in`).

    Returns:
        ``texts`` and ``boxes`` (see `tensors.decode`), ``parameters`` (number of weight values), ``versions`` (of the
        frameworks). Of no sample there are no outputs and no texts.

    Raises:
        ValueError: the source gives fewer samples than it was fed.
    """
    job.stage("source")
    model: SourceModel = build(job.params["model"])
    inputs = tensors.load(job.inputs["inputs"] / "inputs.npz")
    if not tensors.count(inputs):
        return {"texts": [], "boxes": None, "parameters": model.parameters(), "versions": versions()}
    outputs = model.predict(inputs)
    for name, value in outputs.items():
        if len(value) != tensors.count(inputs):
            raise ValueError(f"the source gives {len(value)} samples of {name!r} for {tensors.count(inputs)} fed")
    tensors.save(job.out / "outputs.npz", tensors.as_float32(outputs))
    return {
        **tensors.decode_in(job, model, outputs),
        "parameters": model.parameters(),
        "weights": asdict(model.weights),
        "versions": versions(),
    }


def describe(job: Job) -> dict[str, Any]:
    """How the scores of a recognizer are read: its own decoding, of scores in which one class a frame has it all.

    Params: ``model``.

    Returns:
        ``alphabet``, and of a network with one output ``[1, frames, classes]``:

        - ``classes``: the text that each class alone stands for, ``""`` where it is none (CTC's blank, say)
        - ``merges_repeats``: whether one class in frames that follow each other is one character, as in CTC
        - ``ends``: the classes after which nothing more is read, e.g. the end mark of an attention decoder

        These are left out where a class alone reads as several characters, or does not decode.
    """
    job.stage("source")
    model: SourceModel = build(job.params["model"])
    if not isinstance(model, Recognizer):
        return {}
    found: dict[str, Any] = {"alphabet": model.alphabet}
    try:
        return found | _reading(model)
    except Exception as error:  # an adapter's decoder need not take such scores
        return {**found, "undecoded": f"{type(error).__name__}: {error}"}


def _reading(model: Recognizer) -> dict[str, Any]:
    import numpy as np

    spec, *more = model.outputs()
    if more or len(spec.shape) != 3 or spec.shape[1] < 3:
        return {}
    _, frames, classes = spec.shape

    def read(*best: int) -> str:
        """The text where the classes ``best`` lead, the last of them up to the end."""
        scores = np.zeros((1, frames, classes), spec.dtype)
        scores[0, range(frames), [*best, *[best[-1]] * (frames - len(best))]] = 1
        (text,) = model.decode({spec.name: scores})
        return text

    alone = [read(index) for index in range(classes)]
    spoken = [index for index, text in enumerate(alone) if text]
    if any(len(set(text)) > 1 for text in alone) or len(spoken) < 2:
        return {}
    first, second = spoken[:2]
    return {
        "classes": [text[:1] for text in alone],
        "merges_repeats": read(first, first, second).count(alone[first][0]) == 1,
        "ends": [
            index for index, text in enumerate(alone) if not text and alone[second][0] not in read(first, index, second)
        ],
    }
