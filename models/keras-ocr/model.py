"""keras-ocr's own recognizer, a CRNN with a spatial transformer.

keras-ocr 0.9.3, https://github.com/faustomorales/keras-ocr, MIT.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.named_weights import glorot, read_npz, uniform
from ocr_conformance.convert.phone import open_8bit, resize_linear
from ocr_conformance.model import KerasModel, Recognizer, TensorSpec, Weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

HEIGHT, WIDTH = 31, 200
FRAMES = WIDTH // 4 - 2
"""The package discards the first two steps of the recurrent part."""
CLASSES = 37
"""0-9, a-z and the blank, which comes last."""
VARIANTS = ("", "as-shipped", "ctc")


class KerasOCR(KerasModel, Recognizer):
    """Variants: none (cured, see `cure_stn`), ``as-shipped`` and ``ctc`` (cured, with the decoder in the graph)."""

    def __init__(self, variant: str, weights: Weights) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"keras-ocr has no variant {variant!r} (it has: as-shipped, ctc)")
        choose_keras()
        super().__init__(variant, weights)
        self._shipped: Any = None

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, HEIGHT, WIDTH, 1), "float32", 0.0, 1.0)]

    def outputs(self) -> list[TensorSpec]:
        if self.variant == "ctc":
            return [TensorSpec("classes", (1, FRAMES), "int64", -1, CLASSES - 2)]
        return [TensorSpec("probabilities", (1, FRAMES, CLASSES), "float32", 0.0, 1.0)]

    def preprocess(self, path: str) -> Tensors:
        """As ``Recognizer.recognize``: the package's reading and letterbox, OpenCV's gray, divided by 255.

        Returns:
            ``image``: ``[1, 31, 200, 1]`` float32 in [0, 1].
        """
        import cv2

        recognition = import_keras_ocr().recognition
        try:
            image = recognition.tools.read_and_fit(path, width=WIDTH, height=HEIGHT, cval=0)
        except (AssertionError, cv2.error) as error:
            reason = error if isinstance(error, AssertionError) else f"OpenCV: {error.err}"
            raise ValueError(f"{path} is not an image that can be read ({reason})") from error
        gray = cv2.cvtColor(image, code=cv2.COLOR_RGB2GRAY)
        return {"image": gray[None, :, :, None].astype("float32") / 255}

    def phone_preprocess(self, path: str) -> Tensors:
        """The same in numpy; see the README for each step."""
        import numpy as np
        from PIL import ImageOps

        rgb = np.asarray(ImageOps.exif_transpose(open_8bit(path)).convert("RGB"), np.float32)
        height, width = rgb.shape[:2]
        if WIDTH / width <= HEIGHT / height:
            fitted = (int(WIDTH / width * height), WIDTH)
        else:
            fitted = (HEIGHT, int(HEIGHT / height * width))
        if 0 in fitted:  # as OpenCV, which scales nothing to nothing
            raise ValueError(f"{path} is not an image that can be read ({width}x{height} pixels: too narrow)")
        resized = np.floor(resize_linear(rgb, *fitted) + 0.5)
        gray = np.floor(resized @ np.array([0.299, 0.587, 0.114], np.float32) + 0.5)
        letterbox = np.zeros((1, HEIGHT, WIDTH, 1), np.float32)
        letterbox[0, : fitted[0], : fitted[1], 0] = gray
        return {"image": letterbox / np.float32(255)}

    def predict(self, inputs: Tensors) -> Tensors:
        if self._shipped is None:
            self._shipped = self._recognizer()
        (output,) = self.outputs()
        model = self._shipped.prediction_model if self.variant == "ctc" else self._shipped.model
        return {output.name: model.predict(inputs["image"], batch_size=16, verbose=0)}

    def decode(self, outputs: Tensors) -> list[str]:
        """The package's ``CTCDecoder`` (greedy) and the way ``Recognizer.recognize`` spells its classes."""
        recognition = import_keras_ocr().recognition
        if self.variant == "ctc":
            classes = outputs["classes"].round().astype(int)
        else:
            classes = recognition.CTCDecoder()(outputs["probabilities"]).numpy()
        alphabet = recognition.DEFAULT_ALPHABET
        return ["".join(alphabet[index] for index in row if 0 <= index < len(alphabet)) for row in classes]

    def parameters(self) -> int:
        import math

        return sum(math.prod(shape) for shape in WEIGHT_SHAPES.values())

    def keras_model(self, *, unroll: bool = False) -> Any:
        recognizer = self._recognizer()
        model = recognizer.prediction_model if self.variant == "ctc" else recognizer.model
        if self.variant != "as-shipped":
            cure_stn(model)
        return unroll_lstms(model) if unroll else model

    def _recognizer(self) -> Any:
        """The package's ``Recognizer`` with our weights; its ``prediction_model`` shares the layers of ``model``."""
        recognition = import_keras_ocr().recognition
        recognizer = recognition.Recognizer(alphabet=recognition.DEFAULT_ALPHABET, weights=None)
        path = self.weights.path
        if path is None:
            assign(recognizer.model, seeded_weights())
        elif path.endswith(".npz"):
            assign(recognizer.model, read_npz(path, WEIGHT_SHAPES))
        else:
            try:
                recognizer.model.load_weights(path)
            except Exception as error:  # of Keras, h5py and zipfile
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ValueError(f"weights {Path(path).name} do not fit keras-ocr's recognizer: {reason}") from error
        return recognizer


def choose_keras() -> None:
    """Keep ``TF_USE_LEGACY_KERAS`` from breaking TensorFlow up to 2.15; to be called before TensorFlow is imported.

    The package builds on Keras 2. ``tensorflow.keras`` is Keras 2 where that variable is set and tf_keras is installed;
    up to TensorFlow 2.15 it is so anyway, and with the variable set but no tf_keras it cannot be imported at all.
    """
    import importlib.util
    import os

    if importlib.util.find_spec("tf_keras") is None:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)


def import_keras_ocr() -> Any:
    """Import the package (the contract's ``preload``: a warm parent calls this before anything imports TensorFlow).

    Its imgaug reads ``numpy.sctypes`` at import, which numpy 2 took away.
    """
    choose_keras()
    import numpy as np

    if not hasattr(np, "sctypes"):
        np.sctypes = {  # type: ignore[attr-defined]
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64],
            "complex": [np.complex64, np.complex128],
            "others": [bool, object, bytes, str, np.void],
        }
    import keras_ocr
    import keras_ocr.recognition

    return keras_ocr


def cure_stn(model: Any) -> None:
    """Let the spatial transformer clip its indices by ``minimum(maximum(x, low), high)``.

    The package's ``_transform`` clips int32 indices by ``tf.clip_by_value``, to [0, 6] in one place. TensorFlow's
    converter makes an int32 ``Relu6`` of that one, which TFLite has no kernel for: ``'tf.Relu6' op is neither a custom
    op nor a flex op``. Here the Lambda layer gets the package's own code back with another ``clip_by_value`` in sight;
    the values are the same to the bit.

    Raises:
        ValueError: the model has no such layer (another version of the package?).
    """
    import types

    import tensorflow as tf

    recognition = import_keras_ocr().recognition

    class Tensorflow:
        """``tensorflow`` as ``_transform`` sees it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(tf, name)

        @staticmethod
        def clip_by_value(x: Any, low: Any, high: Any) -> Any:
            return tf.minimum(tf.maximum(x, low), high)

    shipped = recognition._transform
    cured = types.FunctionType(shipped.__code__, {**shipped.__globals__, "tf": Tensorflow()}, "transform_cured")
    found = [layer for layer in model.layers if getattr(layer, "function", None) is shipped]
    if not found:
        raise ValueError("keras-ocr's recognizer has no spatial transformer to cure: is it not version 0.9.3?")
    for layer in found:
        layer.function = cured


def unroll_lstms(model: Any) -> Any:
    """The same network, layers and weights, with its LSTMs unrolled over time."""
    from tensorflow import keras

    def clone(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.LSTM):
            return layer
        return type(layer).from_config({**layer.get_config(), "unroll": True})

    unrolled = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if isinstance(layer, keras.layers.LSTM):
            unrolled.get_layer(layer.name).set_weights(layer.get_weights())
    return unrolled


def _weight_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Shape of every weight by ``layer/weight``, each layer's in the order of Keras' ``get_weights``."""
    channels = 1
    for number, filters in enumerate((64, 128, 256, 256, 512, 512, 512), start=1):
        yield f"conv_{number}/kernel", (3, 3, channels, filters)
        yield f"conv_{number}/bias", (filters,)
        channels = filters
        if number in (3, 5, 7):
            for part in ("gamma", "beta", "moving_mean", "moving_variance"):
                yield f"bn_{number}/{part}", (filters,)
    yield "stn/conv2d/kernel", (5, 5, 512, 16)
    yield "stn/conv2d/bias", (16,)
    yield "stn/conv2d_1/kernel", (5, 5, 16, 32)
    yield "stn/conv2d_1/bias", (32,)
    yield "stn/dense/kernel", (50 * 7 * 32, 64)
    yield "stn/dense/bias", (64,)
    yield "stn/dense_1/kernel", (64, 6)
    yield "stn/dense_1/bias", (6,)
    yield "fc_9/kernel", (7 * 512, 128)
    yield "fc_9/bias", (128,)
    for layer in ("lstm_10", "lstm_10_back", "lstm_11", "lstm_11_back"):
        yield f"{layer}/kernel", (128, 512)
        yield f"{layer}/recurrent_kernel", (128, 512)
        yield f"{layer}/bias", (512,)
    yield "fc_12/kernel", (256, CLASSES)
    yield "fc_12/bias", (CLASSES,)


WEIGHT_SHAPES = dict(_weight_shapes())


def assign(model: Any, weights: dict[str, npt.NDArray[np.float32]]) -> None:
    """Give a recognizer's ``model`` its weights; ``stn/...`` go to the localisation net, in the order of its layers."""
    for layer in model.layers:
        prefix = "stn/" if hasattr(layer, "layers") else f"{layer.name}/"
        own = [weights[name] for name in WEIGHT_SHAPES if name.startswith(prefix)]
        if own:
            layer.set_weights(own)


_GAINS = {
    "kernel": 2.25,
    "recurrent_kernel": 0.5,
    "conv_1/kernel": 3.0,
    "fc_12/kernel": 14.0,
    "stn/dense_1/kernel": 0.02,
}


def seeded_weights() -> dict[str, npt.NDArray[np.float32]]:
    """Random weights, the same on every machine, under which different images read as different text.

    BatchNorms have statistics of their own, and the spatial transformer turns and shifts its grid by what it sees: a
    network at Keras' initial state would hide both from quantization. The grid is zoomed in, because the package's
    interpolation jumps to zero at the image's border: a random network with its grid there answers rounding errors of
    1e-3 by other text.
    """
    import numpy as np

    seed = "keras-ocr"
    weights = {}
    for name, shape in WEIGHT_SHAPES.items():
        part = name.rpartition("/")[2]
        if part in ("gamma", "moving_variance"):
            weights[name] = uniform(seed, name, shape, 0.5, 1.5)
        elif len(shape) == 1:
            weights[name] = uniform(seed, name, shape, -0.005, 0.005)
        else:
            weights[name] = glorot(seed, name, shape, _GAINS.get(name, _GAINS[part]))
    weights["stn/dense_1/bias"] = uniform(seed, "stn/dense_1/bias", (6,), -0.02, 0.02)
    weights["stn/dense_1/bias"] += np.array([0.85, 0, 0, 0, 0.7, 0], np.float32)
    weights["fc_12/bias"][-1] = 4.0
    return weights
