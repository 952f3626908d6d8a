"""The meter reader in Keras: the network of ``meter-torch``, layer by layer, for whoever has no PyTorch."""

from __future__ import annotations

import keras
import numpy as np

DIGITS = "0123456789"
HEIGHT, WIDTH = 24, 64


def read_image(path: str) -> np.ndarray:
    """An image file as the network was trained on it: ``[24, 64, 1]`` float32 in [-1, 1]."""
    image = keras.utils.load_img(path, "grayscale", target_size=(HEIGHT, WIDTH), interpolation="bicubic")
    return (keras.utils.img_to_array(image) / 255 - 0.5) / 0.5


def meter(unroll: bool = False) -> keras.Model:
    """The network: ``[N, 24, 64, 1]`` to scores ``[N, 16, 11]``. ``unroll`` writes the LSTM out frame by frame."""
    layers = keras.layers
    image = layers.Input((HEIGHT, WIDTH, 1), name="image")
    x = layers.MaxPooling2D()(layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(image))
    x = layers.MaxPooling2D()(layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2")(x))
    x = layers.Reshape((WIDTH // 4, HEIGHT // 4 * 16))(layers.Permute((2, 1, 3))(x))
    x = layers.Bidirectional(layers.LSTM(24, return_sequences=True, unroll=unroll), name="lstm")(x)
    return keras.Model(image, layers.Dense(len(DIGITS) + 1, name="classes")(x))
