"""The captcha recognizer of keras.io's example "OCR model for reading Captchas" (A. K. Nain, 2020).

https://keras.io/examples/vision/captcha_ocr/ in its first form: 19 characters and the CTC blank, 20 classes. The form
of today has 21, because its ``StringLookup`` adds ``[UNK]``, a class that no label uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.ctc import greedy
from ocr_conformance.convert.named_weights import glorot, read_npz, uniform
from ocr_conformance.convert.phone import gray_libpng, open_8bit, resize_linear
from ocr_conformance.model import KerasModel, Recognizer, TensorSpec, Weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

WIDTH, HEIGHT = 200, 50
FRAMES = WIDTH // 4
ALPHABET = "2345678bcdefgmnpwxy"
"""Class order of the example: the characters sorted; the blank comes last."""
LABEL_LENGTH = 5
"""The example cuts what it decodes to the longest label of its training set."""

_LSTM_UNITS = (("bidirectional", 64, 128), ("bidirectional_1", 256, 64))


def weight_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    """Shape of every weight by ``layer/weight``, each layer's in the order of Keras' ``get_weights``."""
    shapes: dict[str, tuple[int, ...]] = {
        "Conv1/kernel": (3, 3, 1, 32),
        "Conv1/bias": (32,),
        "Conv2/kernel": (3, 3, 32, 64),
        "Conv2/bias": (64,),
        "dense1/kernel": (HEIGHT // 4 * 64, 64),
        "dense1/bias": (64,),
    }
    for layer, features, units in _LSTM_UNITS:
        for way in ("forward", "backward"):
            shapes[f"{layer}/{way}/kernel"] = (features, 4 * units)
            shapes[f"{layer}/{way}/recurrent_kernel"] = (units, 4 * units)
            shapes[f"{layer}/{way}/bias"] = (4 * units,)
    return {**shapes, "dense2/kernel": (128, classes), "dense2/bias": (classes,)}


class CaptchaOCR(KerasModel, Recognizer):
    """Variants: none (the toolchain's ``keras``: 3.x beside TensorFlow 2.16 and later) and ``tf-keras`` (Keras 2)."""

    alphabet = ALPHABET
    """Characters in class order; the blank is the class after the last. Set it on the instance to decode another
    file's classes, e.g. those of a published artifact."""
    lengths = LABEL_LENGTH, LABEL_LENGTH

    def __init__(self, variant: str, weights: Weights) -> None:
        if variant not in ("", "tf-keras"):
            raise ValueError(f"captcha-ocr has no variant {variant!r} (it has: tf-keras)")
        super().__init__(variant, weights)
        self._network: Any = None

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, WIDTH, HEIGHT, 1), "float32", 0.0, 1.0)]

    def outputs(self) -> list[TensorSpec]:
        return [TensorSpec("probabilities", (1, FRAMES, len(ALPHABET) + 1), "float32", 0.0, 1.0)]

    def preprocess(self, path: str) -> Tensors:
        """As ``encode_single_sample`` of the example; its first form resizes by ``tf.image.resize`` (no antialias).

        Returns:
            ``image``: ``[1, 200, 50, 1]`` float32 in [0, 1]; the width is the second axis.
        """
        import tensorflow as tf

        try:
            image = tf.io.decode_png(tf.io.read_file(path), channels=1)
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
            reason = error.message.rpartition("}} ")[2].splitlines()[0]  # after the name of the op's node
            raise ValueError(f"{path} is not an image that can be read ({reason})") from error
        image = tf.image.convert_image_dtype(image, tf.float32)
        image = tf.image.resize(image, [HEIGHT, WIDTH])
        return {"image": tf.transpose(image, perm=[1, 0, 2])[tf.newaxis].numpy()}

    def phone_preprocess(self, path: str) -> Tensors:
        """The same in numpy; see the README for each step."""
        import numpy as np

        image = open_8bit(path)
        if image.mode in ("L", "1", "LA"):
            gray = np.asarray(image.convert("L"), np.float32)
        else:
            gray = gray_libpng(np.asarray(image.convert("RGB"))).astype(np.float32)
        resized = resize_linear(gray / np.float32(255), HEIGHT, WIDTH)
        return {"image": np.ascontiguousarray(resized.T[np.newaxis, :, :, np.newaxis])}

    def predict(self, inputs: Tensors) -> Tensors:
        if self._network is None:
            self._network = self._build(dropout=True)
        return {"probabilities": self._network.predict(inputs["image"], batch_size=32, verbose=0)}

    def decode(self, outputs: Tensors) -> list[str]:
        """Greedy CTC as the example's ``decode_batch_predictions``: best class per frame, repeats merged, no blanks."""
        texts = greedy(outputs["probabilities"].argmax(axis=-1), self.alphabet, blank_first=False)
        return [text[:LABEL_LENGTH] for text in texts]

    def parameters(self) -> int:
        import math

        return sum(math.prod(shape) for shape in weight_shapes(len(ALPHABET) + 1).values())

    def keras_model(self, *, unroll: bool = False) -> Any:
        """The network without the LSTMs' dropout, which does nothing outside training.

        Keras 3 exports the counters of its seed generators all the same: int64 variables that are read, increased and
        assigned in every invoke, on which the converter's int16x8 fails (``Empty min/max for tensor .../Add``).
        """
        return self._build(unroll=unroll)

    def _build(self, *, unroll: bool = False, dropout: bool = False) -> Any:
        keras = self._keras()
        model = _network(keras, len(ALPHABET) + 1, unroll=unroll, dropout=0.25 if dropout else 0.0)
        path = self.weights.path
        if path is None:
            _assign(model, seeded_weights(len(ALPHABET) + 1))
        elif path.endswith(".npz"):
            _assign(model, read_npz(path, weight_shapes(len(ALPHABET) + 1)))
        else:
            try:
                model.load_weights(path)
            except Exception as error:  # of Keras, h5py and zipfile
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ValueError(f"weights {Path(path).name} do not fit the captcha network: {reason}") from error
        return model

    def _keras(self) -> Any:
        if self.variant == "tf-keras":
            try:
                import tf_keras as keras
            except ImportError:
                # Beside TensorFlow up to 2.15 the package ``keras`` is Keras 2.
                import keras

                if int(keras.__version__.split(".")[0]) > 2:
                    raise
            return keras
        import keras

        return keras


def seeded_weights(classes: int) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights, the same on every machine, under which different images read as different text.

    The gains are larger than Glorot's (with his the softmax is flat and all images read alike) and the blank is
    favoured, so that texts have about the length of a captcha.
    """
    weights = {}
    for name, shape in weight_shapes(classes).items():
        if name.endswith("/bias"):
            weights[name] = uniform("captcha-ocr", name, shape, -0.1, 0.1)
        else:
            gain = 0.5 if name.endswith("/recurrent_kernel") else 12.0 if name == "dense2/kernel" else 3.0
            weights[name] = glorot("captcha-ocr", name, shape, gain)
    weights["dense2/bias"][-1] = 5.0
    return weights


def _assign(model: Any, weights: dict[str, npt.NDArray[np.float32]]) -> None:
    for layer in model.layers:
        own = [weights[name] for name in weight_shapes(len(ALPHABET) + 1) if name.split("/")[0] == layer.name]
        if own:
            layer.set_weights(own)


def _network(keras: Any, classes: int, *, unroll: bool, dropout: float) -> Any:
    layers = keras.layers
    image = layers.Input((WIDTH, HEIGHT, 1), name="image", dtype="float32")
    x = layers.Conv2D(32, (3, 3), activation="relu", padding="same", name="Conv1")(image)
    x = layers.MaxPooling2D((2, 2), name="pool1")(x)
    x = layers.Conv2D(64, (3, 3), activation="relu", padding="same", name="Conv2")(x)
    x = layers.MaxPooling2D((2, 2), name="pool2")(x)
    x = layers.Reshape((FRAMES, HEIGHT // 4 * 64), name="reshape")(x)
    x = layers.Dense(64, activation="relu", name="dense1")(x)
    x = layers.Dropout(0.2)(x)
    for name, _, units in _LSTM_UNITS:
        lstm = layers.LSTM(units, return_sequences=True, dropout=dropout, unroll=unroll)
        x = layers.Bidirectional(lstm, name=name)(x)
    x = layers.Dense(classes, activation="softmax", name="dense2")(x)
    return keras.models.Model(image, x, name="captcha_ocr")
