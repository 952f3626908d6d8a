"""The scene text detector EAST of Zhou et al. 2017: a Keras network, and the frozen graph that OpenCV's sample uses.

https://github.com/argman/EAST is the implementation that the graph was made by. Network (`network.py`), loading
(`frozen.py`) and boxes are ours, from the paper and from what OpenCV's ``text_detection.py`` makes of the maps.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.named_weights import read_npz
from ocr_conformance.convert.scenes import fit, letterbox, phone_letterbox, read_rgb
from ocr_conformance.job import beside
from ocr_conformance.model import Detector, KerasModel, SavedModelSource, TensorSpec, Weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

SIDE = 320
MEANS = (123.68, 116.78, 103.94)
"""Of red, green and blue, in gray levels: taken off before the network."""
INPUT = "input_images"
OUTPUTS = {"score": "feature_fusion/Conv_7/Sigmoid", "geometry": "feature_fusion/concat_3"}
"""Nodes of the published graph by the names that are declared here (a signature's must be free of slashes)."""
STEP = 4
"""Pixels of the input per cell of the maps."""
REACH, ANGLE = 512.0, 0.7854
"""Largest distance in pixels and largest angle in radians (pi / 4) that the geometry can hold."""

SCORE = 0.5
"""A cell needs more than this to be a box (``--thr`` of OpenCV's sample)."""
OVERLAP = 0.4
"""Of two boxes with a larger IoU than this the one with the lower score goes (``--nms``)."""
CANDIDATES = 4000
"""Cells that suppression looks at, the best ones: of a broken network's maps all could qualify, and it is quadratic."""

_VARIANT = re.compile(r"(?:frozen-)?([1-9][0-9]{1,3})|frozen")


class East(Detector):
    """Variants: ``320`` and the like, the pixels of the square input; ``frozen``, ``frozen-640``: the frozen graph."""

    def __new__(cls, variant: str, weights: Weights) -> East:
        kind = cls if cls is not East else FrozenEast if variant.startswith("frozen") else KerasEast
        return super().__new__(kind)

    def __init__(self, variant: str, weights: Weights) -> None:
        found = _VARIANT.fullmatch(variant)
        side = int(found[1] or SIDE) if found else 0
        if side < 32 or side % 32:
            raise ValueError(
                f"east has no variant {variant!r} (it has N and frozen-N: NxN pixels, a multiple of 32 up to 9984, "
                "e.g. 320, and frozen)"
            )
        super().__init__(variant, weights)
        self.side = side

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec(INPUT, (1, self.side, self.side, 3), "float32", -max(MEANS), 255 - min(MEANS))]

    def outputs(self) -> list[TensorSpec]:
        cells = self.side // STEP
        return [
            TensorSpec("score", (1, cells, cells, 1), "float32", 0.0, 1.0),
            TensorSpec("geometry", (1, cells, cells, 5), "float32", -ANGLE, REACH),
        ]

    def preprocess(self, path: str) -> Tensors:
        """RGB on a black square canvas, less the means.

        OpenCV's sample stretches the picture instead; here it keeps its ratio, as in training.

        Returns:
            ``input_images``: ``[1, side, side, 3]`` float32 in [-123.68, 151.06].
        """
        return {INPUT: _less_means(letterbox(read_rgb(path), self.side))}

    def phone_preprocess(self, path: str) -> Tensors:
        """The same in numpy; see the README for each step."""
        return {INPUT: _less_means(phone_letterbox(read_rgb(path), self.side))}

    def boxes(self, outputs: Tensors, sizes: list[tuple[int, int]]) -> list[list[list[list[float]]]]:
        """As OpenCV's ``text_detection.py``; the first point is the top left one of the text, as the angle has it."""
        found = []
        for score, geometry, size in zip(outputs["score"], outputs["geometry"], sizes, strict=True):
            place = fit(size, STEP * max(score.shape[:2]))
            found.append([place.to_image(box).tolist() for box in boxes_of(score[..., 0], geometry)])
        return found


def _less_means(canvas: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    import numpy as np

    values: npt.NDArray[np.float32] = canvas.astype(np.float32) - np.array(MEANS, np.float32)
    return values[None]


def boxes_of(score: npt.NDArray[Any], geometry: npt.NDArray[Any]) -> list[npt.NDArray[np.float64]]:
    """Boxes in pixels of the input, best score first, of those that overlap the best one only.

    A cell at (x, y) is in its box at (4x, 4y). From there the edges are as far as the geometry says, along axes that
    are turned by its angle (figure 4 of the paper).

    Args:
        score: ``[H, W]``.
        geometry: ``[H, W, 5]``: distances to top, right, bottom and left, and the angle. Any numbers: a cell whose box
            is not finite, or has no area, is none.

    Returns:
        ``[4, 2]`` corners (x, y) each: top left, top right, bottom right, bottom left.
    """
    import cv2
    import numpy as np

    with np.errstate(invalid="ignore"):
        rows, columns = np.nonzero(score > SCORE)
    scores = score[rows, columns].astype(np.float64)
    top, right, bottom, left, angle = geometry[rows, columns].astype(np.float64).T
    with np.errstate(invalid="ignore", over="ignore"):
        along = np.stack([np.cos(angle), -np.sin(angle)], 1)
        down = np.stack([np.sin(angle), np.cos(angle)], 1)
        middle = STEP * np.stack([columns, rows], 1)
        corners = np.stack(
            [
                middle + sideways[:, None] * along + upright[:, None] * down
                for sideways, upright in ((-left, -top), (right, -top), (right, bottom), (-left, bottom))
            ],
            1,
        )
        width, height = left + right, top + bottom
        # float32, in which OpenCV computes, holds the area of what is smaller than this
        fine = np.isfinite(corners).all((1, 2)) & (width > 0) & (height > 0) & (np.abs(corners).max((1, 2)) < 1e6)
    corners, scores, angle, width, height = (values[fine] for values in (corners, scores, angle, width, height))
    rectangles = [
        ((float(x), float(y)), (float(w), float(h)), float(turn))
        for (x, y), w, h, turn in zip(corners.mean(1), width, height, -np.degrees(angle), strict=True)
    ]
    if not rectangles:
        return []
    kept = cv2.dnn.NMSBoxesRotated(rectangles, scores.tolist(), SCORE, OVERLAP, 1.0, CANDIDATES)
    return [corners[index] for index in np.asarray(kept, int).reshape(-1)]


class KerasEast(KerasModel, East):
    """The network in the toolchain's Keras."""

    _network: Any = None

    def predict(self, inputs: Tensors) -> Tensors:
        """The network as built, picture by picture."""
        if self._network is None:
            self._network = self.keras_model()
        score, geometry = self._network.predict(inputs[INPUT], batch_size=1, verbose=0)
        return {"score": score, "geometry": geometry}

    def parameters(self) -> int:
        import math

        return sum(math.prod(shape) for shape in beside(__file__, "network.py").WEIGHT_SHAPES.values())

    def keras_model(self, *, unroll: bool = False) -> Any:
        """There is nothing recurrent to ``unroll``."""
        import keras

        network = beside(__file__, "network.py")
        path = self.weights.path
        if path is not None and not path.endswith(".npz"):
            raise ValueError(f"weights {Path(path).name}: the Keras network reads .npz; a frozen graph is east:frozen")
        model = network.build(keras, self.side)
        weights = network.seeded_weights() if path is None else read_npz(path, network.WEIGHT_SHAPES)
        network.assign(model, weights)
        return model


class FrozenEast(SavedModelSource, East):
    """The published graph, in whatever size."""

    _folder: Any = None
    _session: Any = None

    def saved_model(self) -> str:
        """A SavedModel of the graph at this size, in a folder that goes with this object."""
        if self._folder is None:
            folder = tempfile.TemporaryDirectory(prefix="east-")
            inputs, outputs = {INPUT: self.inputs()[0]}, {OUTPUTS[spec.name]: spec for spec in self.outputs()}
            beside(__file__, "frozen.py").save(self._file(), inputs, outputs, f"{folder.name}/saved_model")
            self._folder = folder
        return f"{self._folder.name}/saved_model"

    def predictor(self) -> Any:
        """A function of one sample."""
        from ocr_conformance.runtime.saved_model import SavedModelSession

        if self._session is None:
            self._session = SavedModelSession(self.saved_model(), self)
        return self._session

    def predict(self, inputs: Tensors) -> Tensors:
        from ocr_conformance.runtime import tensors

        return tensors.one_by_one(self.predictor(), inputs)

    def parameters(self) -> int:
        count: int = beside(__file__, "frozen.py").parameters(self._file())
        return count

    def _file(self) -> str:
        if self.weights.path is None:
            raise ValueError(
                "east:frozen is a file: --ocr-weights pretrained fetches the published one, --ocr-weights FILE takes "
                "yours"
            )
        return self.weights.path
