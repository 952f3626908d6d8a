"""Cut the words that a detector found out of the pictures, as a recognizer's inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.scenes import read_rgb, rectify
from ocr_conformance.model import build
from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.source import read_image, versions

if TYPE_CHECKING:
    from ocr_conformance.job import Job
    from ocr_conformance.model import SourceModel


def cut(job: Job) -> dict[str, Any]:
    """Crop each box, make it upright (`rectify`) and preprocess it as the recognizer's source library does.

    Params: ``model`` (the recognizer), ``images``: ``[{"path", "sha256"}, ...]``, the scenes in the detector's order.
    Inputs: ``boxes`` (folder with the detector's ``boxes.json``). Files: ``inputs.npz`` as of `source.prepare`, N the
    number of all boxes, also 0; the crops as ``IMAGE-BOX.png``, both numbered from 0.

    Returns:
        ``counts``: boxes per image (all 0 where the detector's outputs did not decode); ``versions``.

    Raises:
        ValueError: an image cannot be read or changed meanwhile; see `tensors.check`.
    """
    import numpy as np
    from PIL import Image

    job.stage("source")
    model: SourceModel = build(job.params["model"])
    images: list[dict[str, str]] = job.params["images"]
    found = tensors.load_boxes(job.inputs["boxes"])
    boxes = [[] for _ in images] if found is None else found
    samples = []
    for index, image in enumerate(images):
        path = read_image(image)
        if not boxes[index]:
            continue
        rgb = read_rgb(path)
        for number, box in enumerate(boxes[index]):
            crop = job.out / f"{index}-{number}.png"
            Image.fromarray(rectify(rgb, box)).save(crop)
            arrays = model.preprocess(str(crop))
            where = f"preprocess of box {number} of {Path(path).name}"
            samples.append({spec.name: tensors.check(spec, arrays[spec.name], where) for spec in model.inputs()})
    nothing = {spec.name: np.zeros((0, *spec.shape[1:]), spec.dtype) for spec in model.inputs()}
    tensors.save(job.out / "inputs.npz", tensors.stack(samples) if samples else nothing)
    return {"counts": [len(each) for each in boxes], "versions": versions()}
