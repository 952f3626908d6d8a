"""EAST in Keras: ResNet-50, its features merged from 1/32 up to 1/4 of the size, and a score and a box per cell.

Zhou et al., "EAST: An Efficient and Accurate Scene Text Detector", CVPR 2017 (arXiv:1704.03155), with the ResNet-50 and
the layer sizes of https://github.com/argman/EAST, by which OpenCV's frozen graph was made (none of its code is here).
Weights bear the names of that implementation's variables; a layer's name has a dot for each slash.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.named_weights import glorot, uniform

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[np.float32]]

RESNET, FUSION = "resnet_v1_50", "feature_fusion"
BLOCKS = ((256, 64, 3, 2), (512, 128, 4, 2), (1024, 256, 6, 2), (2048, 512, 3, 1))
"""Channels, channels of the bottleneck, units, and the stride of the last unit."""
MERGED = (128, 64, 32)
"""Channels of the three merging steps, from 1/16 to 1/4 of the size."""
SKIPS = (512, 256, 64)
"""Channels of the backbone's features at these sizes."""
REACH = 512
"""Pixels: what the sigmoids of the four distances are multiplied by (``text_scale``)."""
NORMS = ("gamma", "beta", "moving_mean", "moving_variance")


def convolutions() -> Iterator[tuple[str, int, int, int, bool]]:
    """Name, kernel, inputs, outputs of every convolution, and whether a BatchNorm follows (else it has biases)."""
    yield f"{RESNET}/conv1", 7, 3, 64, True
    inputs = 64
    for number, (outputs, middle, units, _) in enumerate(BLOCKS, 1):
        for unit in range(1, units + 1):
            name = f"{RESNET}/block{number}/unit_{unit}/bottleneck_v1"
            if inputs != outputs:
                yield f"{name}/shortcut", 1, inputs, outputs, True
            yield f"{name}/conv1", 1, inputs, middle, True
            yield f"{name}/conv2", 3, middle, middle, True
            yield f"{name}/conv3", 1, middle, outputs, True
            inputs = outputs
    for step, (skip, outputs) in enumerate(zip(SKIPS, MERGED, strict=True)):
        yield _fused(2 * step), 1, inputs + skip, outputs, True
        yield _fused(2 * step + 1), 3, outputs, outputs, True
        inputs = outputs
    yield _fused(6), 3, inputs, inputs, True
    for number, outputs in ((7, 1), (8, 4), (9, 1)):  # score, distances, angle
        yield _fused(number), 1, inputs, outputs, False


def _fused(number: int) -> str:
    return f"{FUSION}/Conv_{number}" if number else f"{FUSION}/Conv"


def _weight_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Shape of every weight by name, each layer's in the order of Keras' ``get_weights``."""
    for name, kernel, inputs, outputs, normalised in convolutions():
        yield f"{name}/weights", (kernel, kernel, inputs, outputs)
        if normalised:
            yield from ((f"{name}/BatchNorm/{part}", (outputs,)) for part in NORMS)
        else:
            yield f"{name}/biases", (outputs,)


WEIGHT_SHAPES = dict(_weight_shapes())


def build(keras: Any, side: int) -> Any:
    """The network for ``[N, side, side, 3]`` (RGB less the means), ``side`` a multiple of 32; weights not set.

    Returns:
        A model with two outputs: the score ``[N, side/4, side/4, 1]`` in [0, 1], and the geometry
        ``[N, side/4, side/4, 5]``: the distances of the cell from the box's top, right, bottom and left edge in pixels
        of the input, [0, 512], and its angle in radians, [-pi/4, pi/4], positive where the text rises to the right.
    """
    import tensorflow as tf

    layers = keras.layers

    def unpool(x: Any) -> Any:
        """Twice the size, bilinear, as ``tf.image.resize_bilinear`` of TensorFlow 1: pixel 0 on pixel 0."""
        size = [2 * length for length in x.shape[1:3]]
        return layers.Lambda(lambda given: tf.compat.v1.image.resize_bilinear(given, size=size))(x)

    table = {name: (kernel, outputs, norm) for name, kernel, _, outputs, norm in convolutions()}

    def convolve(x: Any, name: str, *, stride: int = 1, relu: bool = True) -> Any:
        kernel, outputs, normalised = table[name]
        if stride > 1 and kernel > 1:  # both sides alike, where TensorFlow's "same" pads the end only
            x = layers.ZeroPadding2D(kernel // 2)(x)
        padding = "valid" if stride > 1 else "same"
        layer = _layer(name)
        x = layers.Conv2D(outputs, kernel, stride, padding, use_bias=not normalised, name=layer)(x)
        if normalised:
            x = layers.BatchNormalization(epsilon=1e-5, name=f"{layer}.BatchNorm")(x)
        return layers.ReLU()(x) if relu else x

    image = layers.Input((side, side, 3), name="input_images")
    x = convolve(image, f"{RESNET}/conv1", stride=2)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    features = [x]
    for number, (_, _, units, last_stride) in enumerate(BLOCKS, 1):
        for unit in range(1, units + 1):
            name = f"{RESNET}/block{number}/unit_{unit}/bottleneck_v1"
            stride = last_stride if unit == units else 1
            if f"{name}/shortcut" in table:
                shortcut = convolve(x, f"{name}/shortcut", stride=stride, relu=False)
            else:
                shortcut = layers.MaxPooling2D(1, stride)(x) if stride > 1 else x
            inner = convolve(x, f"{name}/conv1")
            inner = convolve(inner, f"{name}/conv2", stride=stride)
            inner = convolve(inner, f"{name}/conv3", relu=False)
            x = layers.ReLU()(layers.Add()([shortcut, inner]))
        features.append(x)
    for step, skip in enumerate((features[2], features[1], features[0])):
        x = layers.Concatenate()([unpool(x), skip])
        x = convolve(convolve(x, _fused(2 * step)), _fused(2 * step + 1))
    x = convolve(x, _fused(6))
    score, distances, angle = (
        layers.Activation("sigmoid", name=f"{_layer(_fused(number))}.Sigmoid")(convolve(x, _fused(number), relu=False))
        for number in (7, 8, 9)
    )
    distances = layers.Rescaling(float(REACH))(distances)
    angle = layers.Rescaling(math.pi / 2, -math.pi / 4)(angle)
    geometry = layers.Concatenate(name=f"{FUSION}.concat_3")([distances, angle])
    return keras.Model(image, [score, geometry], name="east")


def _layer(name: str) -> str:
    return name.replace("/", ".")


def assign(model: Any, weights: Arrays) -> None:
    """Give a model of `build` its weights."""
    for name, _, _, _, normalised in convolutions():
        layer = _layer(name)
        if normalised:
            model.get_layer(layer).set_weights([weights[f"{name}/weights"]])
            model.get_layer(f"{layer}.BatchNorm").set_weights([weights[f"{name}/BatchNorm/{part}"] for part in NORMS])
        else:
            model.get_layer(layer).set_weights([weights[f"{name}/weights"], weights[f"{name}/biases"]])


_HEADS = {7: (1.8, (-2.2,)), 8: (0.36, (-3.9, -2.9, -3.9, -2.9)), 9: (0.3, (0.0,))}
"""Gain and biases of score, distances and angle: about a cell in fifty scores above a half, and the boxes are about 20
pixels high and 55 wide and turned by some degrees."""
_DEEP = 0.3
"""What the merged features weigh of those from further down, beside those of their own size."""


def seeded_weights() -> Arrays:
    """Random weights, the same on every machine, under which different scenes give different boxes. None is text.

    Kernels have zero sums and gains that keep the variance from layer to layer; BatchNorms have statistics of their
    own, which a network at its initial state would hide from quantization. A random network this deep is chaotic if
    left to itself: it answers the rounding of its weights to 8 bits by another picture (5 dB of SQNR in the score). So
    its ReLUs mostly pass (offsets around 1), residual units add a little to their shortcuts, and what has gone through
    all of them is a part of the maps only.
    """
    import numpy as np

    seed = "east"
    weights = {}
    for name, _, inputs, outputs, normalised in convolutions():
        key = f"{name}/weights"
        shape = WEIGHT_SHAPES[key]
        if name == f"{RESNET}/conv1":  # 30: what differs between neighbours in a photograph
            weights[key] = glorot(seed, key, shape, _gain(inputs, outputs) * _PASSED**0.5 / 30)
        elif name in _MERGING:
            deep = inputs - _MERGING[name]
            parts = {"deep": (deep, _DEEP), "skip": (_MERGING[name], 1.0)}
            kernels = [
                glorot(seed, f"{key}/{part}", (1, 1, number, outputs), weight * _gain(number, outputs))
                for part, (number, weight) in parts.items()
            ]
            weights[key] = np.concatenate(kernels, 2)
        elif normalised:
            weights[key] = glorot(seed, key, shape, _gain(inputs, outputs))
        else:
            gain, biases = _HEADS[int(name.rpartition("_")[2])]
            weights[key] = glorot(seed, key, shape, gain)
            weights[f"{name}/biases"] = np.array(biases, np.float32)
        if normalised:
            scale = (0.1, 0.5) if name.endswith("/conv3") else (0.5, 1.1)
            offset = (-0.1, 0.1) if name.endswith(("/conv3", "/shortcut")) else (0.5, 1.5)
            for part, bounds in zip(NORMS, (scale, offset, (-0.1, 0.1), (0.5, 1.5)), strict=True):
                weights[f"{name}/BatchNorm/{part}"] = uniform(seed, f"{name}/BatchNorm/{part}", (outputs,), *bounds)
    return weights


_MERGING = {_fused(2 * step): skip for step, skip in enumerate(SKIPS)}
"""The convolutions that merge, and how many of their inputs are of their own size (the last ones)."""
_PASSED = 0.57
"""Variance of what the ReLUs pass, of 1 that comes in."""


def _gain(inputs: int, outputs: int) -> float:
    """Glorot's gain under which a 1x1 convolution gives variance 1 after ReLUs of variance `_PASSED`."""
    return math.sqrt((inputs + outputs) / (2 * inputs * _PASSED))
