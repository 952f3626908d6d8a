"""CRAFT's preprocessing and its boxes, for both networks: PyTorch's here and keras-ocr's.

EasyOCR 1.7.2 (Apache-2.0) and CRAFT-pytorch (MIT, https://github.com/clovaai/CRAFT-pytorch) are what is followed, the
code is ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.scenes import clockwise, fit, letterbox, phone_letterbox, read_rgb
from ocr_conformance.model import Detector, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, of red, green and blue in [0, 1]."""
LOW, HIGH = (0 - MEAN[0]) / STD[0], (1 - MEAN[2]) / STD[2]
"""The smallest (red) and the largest (blue) value that the network can be fed."""

CHARACTER = 0.7
"""A box needs a pixel of the region map of at least this (``text_threshold``)."""
REGION, AFFINITY = 0.4, 0.4
"""Pixels above these are text and link (``low_text``, ``link_threshold``)."""
SMALLEST = 10
"""Connected pixels that a box is made of, at least."""

_SIDE = re.compile(r"[1-9][0-9]{1,3}")


def side(variant: str, model: str) -> int:
    """Pixels of the square input that a variant such as ``320`` names.

    Raises:
        ValueError: it is no multiple of 32 from 32 to 9984.
    """
    if not _SIDE.fullmatch(variant) or int(variant) % 32:
        raise ValueError(
            f"{model} has no variant {variant!r} (it has N: NxN pixels, a multiple of 32 up to 9984, e.g. 320)"
        )
    return int(variant)


def preprocess(path: str, side: int) -> npt.NDArray[np.float32]:
    """As ``resize_aspect_ratio`` (``mag_ratio`` 1) and ``normalizeMeanVariance`` of EasyOCR's ``imgproc.py``.

    RGB, scaled by OpenCV's bilinear so that the longer side is ``side`` (never enlarged), at the top left of a black
    canvas; normalised after that: the padding is black, not the mean. Upstream's canvas ends at the next multiple of
    32, ours is always square, and ours heeds the EXIF orientation.

    Returns:
        ``[1, side, side, 3]`` float32 from `LOW` to `HIGH`.
    """
    return _normalised(letterbox(read_rgb(path), side))


def phone_preprocess(path: str, side: int) -> npt.NDArray[np.float32]:
    """The same in numpy; see the README for each step."""
    return _normalised(phone_letterbox(read_rgb(path), side))


def _normalised(canvas: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    import numpy as np

    # The order of upstream's operations: subtract, then divide, each in float32.
    mean, std = (np.array([255.0 * value for value in values], np.float32) for values in (MEAN, STD))
    normalised: npt.NDArray[np.float32] = (canvas.astype(np.float32) - mean) / std
    return normalised[None]


def boxes(maps: npt.NDArray[Any], sizes: list[tuple[int, int]]) -> list[list[list[list[float]]]]:
    """Polygons of ``[N, S/2, S/2, 2]`` maps in pixels of the original images; see `Detector.boxes`.

    Raises:
        ValueError: there are more or fewer samples than sizes.
    """
    found = []
    for sample, size in zip(maps, sizes, strict=True):
        place = fit(size, 2 * max(sample.shape[:2]))
        # A pixel of the maps is two of the canvas, as upstream's ``adjustResultCoordinates`` has it.
        found.append([place.to_image(2 * box).tolist() for box in boxes_of(sample[..., 0], sample[..., 1])])
    return found


def boxes_of(region: npt.NDArray[Any], affinity: npt.NDArray[Any]) -> list[npt.NDArray[np.float64]]:
    """Boxes in pixels of the maps, as ``getDetBoxes_core`` of EasyOCR's ``craft_utils.py`` finds them.

    Text and link together fall into 4-connected parts. A part of `SMALLEST` pixels or more that has a pixel of at least
    `CHARACTER` becomes a box: without its pixels that are link only, widened by a square that grows with its stroke,
    the rectangle of smallest area around it - or the upright one, where that is a square within a tenth (which may
    else stand on a corner).

    Args:
        region, affinity: ``[H, W]`` scores, any numbers.

    Returns:
        ``[4, 2]`` corners (x, y) each, clockwise from the top left one, in the order of the parts' first pixels.
    """
    import cv2
    import numpy as np

    with np.errstate(invalid="ignore"):  # NaN is above nothing
        text, link = region > REGION, affinity > AFFINITY
    number, labels, stats, _ = cv2.connectedComponentsWithStats((text | link).astype(np.uint8), connectivity=4)
    found = []
    for label in range(1, number):
        left, top, width, height, area = (int(value) for value in stats[label])
        if area < SMALLEST:
            continue
        # How far the part is widened: its area over its longer side is about its stroke.
        reach = int((area / max(width, height)) ** 0.5 * 2)
        window = (
            slice(max(top - reach, 0), top + height + reach + 1),
            slice(max(left - reach, 0), left + width + reach + 1),
        )
        own = labels[window] == label
        if not np.any(region[window][own] >= CHARACTER):
            continue
        kept = (own & ~(link[window] & ~text[window])).astype(np.uint8)
        widened = cv2.dilate(kept, np.ones((1 + reach, 1 + reach), np.uint8))
        y, x = np.nonzero(widened)
        points = np.stack([x + window[1].start, y + window[0].start], 1).astype(np.float32)
        found.append(_rectangle(points))
    return found


def _rectangle(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    import cv2
    import numpy as np

    corners = cv2.boxPoints(cv2.minAreaRect(points))
    first, second = (float(np.linalg.norm(corners[i] - corners[i + 1])) for i in (0, 1))
    if abs(1 - max(first, second) / (min(first, second) + 1e-5)) <= 0.1:
        (left, top), (right, bottom) = points.min(0), points.max(0)
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return clockwise(corners)


class Scenes(Detector):
    """What goes into both networks and comes out of them. ``side`` is set by the network's class."""

    side: int

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, self.side, self.side, 3), "float32", LOW, HIGH)]

    def outputs(self) -> list[TensorSpec]:
        return [TensorSpec("maps", (1, self.side // 2, self.side // 2, 2), "float32")]

    def preprocess(self, path: str) -> Tensors:
        """As EasyOCR prepares a scene for the detector; keras-ocr's ``compute_input`` gives the same values."""
        return {"image": preprocess(path, self.side)}

    def phone_preprocess(self, path: str) -> Tensors:
        """The same in numpy; see the README of `craft` for each step."""
        return {"image": phone_preprocess(path, self.side)}

    def boxes(self, outputs: Tensors, sizes: list[tuple[int, int]]) -> list[list[list[list[float]]]]:
        """As EasyOCR and CRAFT-pytorch find them. keras-ocr's ``getBoxes`` differs, see the README of that model."""
        return boxes(outputs["maps"], sizes)
