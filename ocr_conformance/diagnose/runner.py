"""Run the bytes of a ``.tflite`` file by tensor indices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ocr_conformance.runtime import tensors
from ocr_conformance.runtime.litert import interpreter_class

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ocr_conformance.inspect.tflite import TFLiteFile

    Values = dict[int, npt.NDArray[Any]]


class Runner:
    """One allocated interpreter with the runtime's default delegates: what an app would run."""

    def __init__(self, content: bytes) -> None:
        """Load and allocate; an input takes the size of what it is fed.

        Raises:
            ValueError, RuntimeError: the runtime refuses the file.
        """
        interpreter, self.runtime = interpreter_class()
        self._interpreter = interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._allocated = True
        self._inputs = {d["index"]: d for d in self._interpreter.get_input_details()}
        self._shapes = {index: tuple(int(n) for n in d["shape"]) for index, d in self._inputs.items()}

    def __call__(self, feeds: Mapping[int, npt.NDArray[Any]], wanted: Sequence[int]) -> Values:
        """Values as the file holds them (not de-quantized) of outputs; state is reset before.

        Inputs that are not fed are zero; floats for integer inputs are quantized as an app does it.
        """
        import numpy as np

        for index, value in feeds.items():
            known = self._shapes.get(index)
            if known is not None and value.size != math.prod(known):  # of unknown size, or not what the file declares
                self._interpreter.resize_tensor_input(index, list(value.shape))
                self._shapes[index] = value.shape
                self._allocated = False
        if not self._allocated:
            self._interpreter.allocate_tensors()
            self._allocated = True
        self._interpreter.reset_all_variables()
        for index, detail in self._inputs.items():
            shape, dtype = self._shapes[index], detail["dtype"]
            if index not in feeds:
                self._interpreter.set_tensor(index, np.zeros(shape, dtype))
                continue
            value = feeds[index]
            scale, zero_point = detail["quantization"]
            if scale and value.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
                value = tensors.quantize(value, dtype.__name__, float(scale), int(zero_point))
            self._interpreter.set_tensor(index, value.astype(dtype, copy=False).reshape(shape))
        self._interpreter.invoke()
        return {index: self._interpreter.get_tensor(index) for index in wanted}


def dequantized(file: TFLiteFile, tensor: int, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An activation's numbers: float32 where the file quantizes it, else as they are."""
    parameters = file.tensor(0, tensor).quantization
    if value.dtype.kind not in "iu" or parameters is None or parameters.scale is None or len(parameters.scale) != 1:
        return value
    zero_point = 0 if parameters.zeroPoint is None else int(parameters.zeroPoint[0])
    result: npt.NDArray[Any] = tensors.dequantize(value, float(parameters.scale[0]), zero_point)
    return result
