"""A recognizer that exists only as a file: an ONNX model or a SavedModel, read as its contract's ``[reading]`` says.

``--ocr-model onnx-file:PATH`` and ``saved-model:PATH``; onnxruntime or TensorFlow is then the original framework.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.ctc import greedy
from ocr_conformance.convert.phone import open_8bit, open_gray, resize_bicubic, resize_linear
from ocr_conformance.model import OnnxModel, Recognizer, SavedModelSource, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]


class FileRecognizer(Recognizer):
    """What both kinds of file have in common: images and texts by recipe."""

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
        """Decode, gray or color, fit to the size, ``(x / 255 - mean) / std``, pad to the right.

        There is no source library beside the file: the recipe is its own reference, and the app's is the same.
        """
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

    def phone_preprocess(self, path: str) -> Tensors:
        return self.preprocess(path)

    def decode(self, outputs: Tensors) -> list[str]:
        """Greedy CTC."""
        best = outputs[self.reading["output"]].argmax(axis=-1)
        return greedy(best, self.alphabet, blank_first=self.reading["blank"] == "first")

    def file(self) -> str:
        """Path of the file or folder."""
        assert self.weights.path is not None
        return self.weights.path

    def predictor(self) -> Any:
        """A function of one sample."""
        raise NotImplementedError

    def predict(self, inputs: Tensors) -> Tensors:
        from ocr_conformance.runtime import tensors

        return tensors.one_by_one(self.predictor(), inputs)


class OnnxFile(OnnxModel, FileRecognizer):
    """``onnx-file:PATH``."""

    def onnx_file(self) -> str:
        return self.file()

    def predictor(self) -> Any:
        from ocr_conformance.runtime.onnx import OnnxSession

        return OnnxSession(self.file(), self)

    def parameters(self) -> int:
        import onnx

        kept = onnx.load(self.file()).graph.initializer
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
        return sum(math.prod(tensor.dims) for tensor in kept if tensor.data_type in floats)


class SavedModelFile(SavedModelSource, FileRecognizer):
    """``saved-model:PATH``."""

    def saved_model(self) -> str:
        return self.file()

    def predictor(self) -> Any:
        from ocr_conformance.runtime.saved_model import SavedModelSession

        return SavedModelSession(self.file(), self)

    def parameters(self) -> int:
        import tensorflow as tf

        loaded = tf.saved_model.load(self.file())
        variables = {id(v): v for v in loaded.signatures["serving_default"].variables}
        return sum(math.prod(v.shape) for v in variables.values() if v.dtype.is_floating)
