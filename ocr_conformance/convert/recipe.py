"""A recognizer whose images and texts are as its contract's ``[reading]`` says: the network is left to write."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.ctc import greedy
from ocr_conformance.convert.phone import open_8bit, open_gray, resize_bicubic, resize_linear
from ocr_conformance.model import Recognizer, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]


class RecipeRecognizer(Recognizer):
    """One image in, CTC scores out, both as ``[reading]`` says; to be combined with `KerasModel`, `TorchModel`, ...

    Override `preprocess` by what the source library does where there is one: as it stands the recipe is its own
    reference, and the check ``preprocessing`` has nothing to hold it against.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "reading":  # set on the instance, where the contract has it
            raise ValueError(f"{type(self).__name__} reads by recipe: its contract needs a table [reading]")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def inputs(self) -> list[TensorSpec]:
        r = self.reading
        channels = 1 if r["color"] == "gray" else 3
        size = (r["height"], r["width"])
        shape = (1, channels, *size) if r["layout"] == "NCHW" else (1, *size, channels)
        values = [(value - r["mean"]) / r["std"] for value in (0.0, 1.0)]
        values += [r["pad"]] if r["pad"] != "edge" else []
        return [TensorSpec(r["input"], shape, "float32", min(values), max(values))]

    def outputs(self) -> list[TensorSpec]:
        return [TensorSpec(self.reading["output"], (1, self.reading["frames"], len(self.alphabet) + 1), "float32")]

    def preprocess(self, path: str) -> Tensors:
        return self.phone_preprocess(path)

    def phone_preprocess(self, path: str) -> Tensors:
        """Decode, gray or color, fit to the size, ``(x / 255 - mean) / std``, pad to the right, in numpy alone."""
        import numpy as np
        from PIL import ImageOps

        r = self.reading
        if r["color"] == "gray":
            planes = [open_gray(path)]
        else:
            rgb = np.asarray(ImageOps.exif_transpose(open_8bit(path)).convert("RGB"))
            planes = [rgb[..., index] for index in ((0, 1, 2) if r["color"] == "rgb" else (2, 1, 0))]
        height, width = planes[0].shape
        fitted = r["width"] if r["fit"] == "stretch" else min(math.ceil(r["height"] * width / height), r["width"])
        resized = np.stack([self._resize(plane, r["height"], fitted) for plane in planes])
        values = (resized / np.float32(255) - np.float32(r["mean"])) / np.float32(r["std"])
        missing = ((0, 0), (0, 0), (0, r["width"] - fitted))
        edge = r["pad"] == "edge"
        image = np.pad(values, missing, "edge") if edge else np.pad(values, missing, constant_values=r["pad"])
        return {r["input"]: image[None] if r["layout"] == "NCHW" else image.transpose(1, 2, 0)[None]}

    def _resize(self, plane: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.float32]:
        import numpy as np

        if self.reading["resize"] == "bicubic":
            return resize_bicubic(plane, height, width).astype(np.float32)
        resized: npt.NDArray[np.float32] = np.floor(resize_linear(plane.astype(np.float32), height, width) + 0.5)
        return resized

    def decode(self, outputs: Tensors) -> list[str]:
        """Greedy CTC."""
        best = outputs[self.reading["output"]].argmax(axis=-1)
        return greedy(best, self.alphabet, blank_first=self.reading["blank"] == "first")
