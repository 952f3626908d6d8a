"""A recognizer that exists only as a file: an ONNX model or a SavedModel, read as its contract's ``[reading]`` says.

``--ocr-model onnx-file:PATH`` and ``saved-model:PATH``; onnxruntime or TensorFlow is then the original framework.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.recipe import RecipeRecognizer
from ocr_conformance.model import OnnxModel, SavedModelSource

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]


class FileRecognizer(RecipeRecognizer):
    """What both kinds of file have in common: images and texts by recipe.

    There is no source library beside the file: the recipe is its own reference, and the app's is the same.
    """

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
        """The path of a file that has all of its weights in itself: others are not known by its hash.

        Raises:
            ValueError: it has not, or is no ONNX file.
        """
        import onnx

        path = self.file()
        name = Path(path).name
        try:
            graph = onnx.load(path, load_external_data=False).graph
        except Exception as error:  # of protobuf's several implementations
            raise ValueError(f"{name} is no ONNX file ({error})") from error
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(graph)):
            raise ValueError(
                f"{name} keeps weights in other files: save it as one, "
                "onnx.save(onnx.load(FILE), OTHER, save_as_external_data=False)"
            )
        return path

    def predictor(self) -> Any:
        from ocr_conformance.runtime.onnx import OnnxSession

        return OnnxSession(self.onnx_file(), self)

    def parameters(self) -> int:
        import onnx

        kept = onnx.load(self.onnx_file()).graph.initializer
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
        return sum(math.prod(tensor.dims) for tensor in kept if tensor.data_type in floats)


def _tensors(graph: Any) -> Iterator[Any]:
    """Every stored tensor of an ONNX graph, of the graphs in it, too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


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
