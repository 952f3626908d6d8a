"""A detector of somebody else's repository, in numpy and scipy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.scenes import read_rgb
from ocr_conformance.model import Detector, TensorSpec

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

HEIGHT, WIDTH = 32, 64


class Finder(Detector):
    """Takes what is not white for text: a box around each connected part."""

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, HEIGHT, WIDTH, 1), "float32", 0.0, 1.0)]

    def outputs(self) -> list[TensorSpec]:
        return [TensorSpec("ink", (1, HEIGHT, WIDTH, 1), "float32", 0.0, 1.0)]

    def preprocess(self, path: str) -> Tensors:
        import numpy as np

        gray = read_rgb(path)[..., :1].astype(np.float32) / 255
        canvas = np.ones((1, HEIGHT, WIDTH, 1), np.float32)
        canvas[0, : gray.shape[0], : gray.shape[1]] = gray[:HEIGHT, :WIDTH]
        return {"image": canvas}

    def phone_preprocess(self, path: str) -> Tensors:
        return self.preprocess(path)

    def predict(self, inputs: Tensors) -> Tensors:
        return {"ink": 1 - inputs["image"]}

    def boxes(self, outputs: Tensors, sizes: list[tuple[int, int]]) -> list[list[list[list[float]]]]:
        import numpy as np
        from scipy import ndimage

        found = []
        for ink, _ in zip(outputs["ink"][..., 0], sizes, strict=True):
            parts = ndimage.find_objects(ndimage.label(ink > 0.1, np.ones((3, 3)))[0])
            found.append(
                [[[x.start, y.start], [x.stop, y.start], [x.stop, y.stop], [x.start, y.stop]] for y, x in parts]
            )
        return found

    def parameters(self) -> int:
        return 0
