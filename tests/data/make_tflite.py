"""Makes the tiny ``.tflite`` files beside it. Run in the ``modern`` toolchain: ``python tests/data/make_tflite.py``.

All take ``image`` [1, 8, 8, 1] and give ``probabilities`` [1, 8, 5]; weights are drawn from a fixed seed. The files of
another converter version differ in bytes, so they are kept, not made by the tests.

- ``conv``, ``conv-dynamic-range``, ``conv-float16``, ``conv-full-int8``, ``conv-int16x8``: CONV_2D 64 filters,
  DEPTHWISE_CONV_2D, FULLY_CONNECTED
- ``lstm``, ``lstm-full-int8``: a fused UNIDIRECTIONAL_SEQUENCE_LSTM of 6 units, which keeps its state
- ``while``: a recurrence in a WHILE of 8 rounds
- ``flex``: one op that only TensorFlow has a kernel for
- ``expected.npz``: ``image`` [6, 8, 8, 1] and what TensorFlow gives for it with ``conv``, ``lstm`` and ``while``
- ``unsigned``: ``while`` without its signature, declaring its output as [1, 1, 5] as the published captcha file does
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema

HERE = Path(__file__).parent
RANDOM = np.random.default_rng(2)
FEATURES = 64


def weights(*shape: int) -> tf.Tensor:
    """Normal values, large enough to be told from rounding."""
    return tf.constant(RANDOM.normal(scale=1.5 / np.sqrt(shape[-2] if len(shape) > 1 else 1), size=shape), tf.float32)


def conv() -> Callable[[tf.Tensor], tf.Tensor]:
    """Convolutions and a dense layer."""
    kernel, depth, dense = weights(3, 3, 1, FEATURES), weights(3, 3, FEATURES, 1), weights(8 * FEATURES, 5)
    bias = weights(FEATURES)

    def call(image: tf.Tensor) -> tf.Tensor:
        x = tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME") + bias)
        x = tf.nn.relu(tf.nn.depthwise_conv2d(x, depth, (1, 1, 1, 1), "SAME"))
        return tf.reshape(tf.nn.softmax(tf.matmul(tf.reshape(x, (8, 8 * FEATURES)), dense)), (1, 8, 5))

    return call


def lstm() -> Callable[[tf.Tensor], tf.Tensor]:
    """A fused LSTM."""
    tf_keras.utils.set_random_seed(2)
    layer = tf_keras.layers.LSTM(6, return_sequences=True, kernel_initializer="random_normal")
    layer.build((1, 8, 8))
    layer.set_weights([RANDOM.normal(size=value.shape) for value in layer.get_weights()])
    dense = weights(6, 5) * 4

    def call(image: tf.Tensor) -> tf.Tensor:
        x = tf.reshape(layer(tf.reshape(image, (1, 8, 8))), (8, 6))
        return tf.reshape(tf.nn.softmax(tf.matmul(x, dense)), (1, 8, 5))

    call.layer = layer  # type: ignore[attr-defined]
    return call


def loop() -> Callable[[tf.Tensor], tf.Tensor]:
    """A recurrence: state <- tanh(state W + row U)."""
    inner, outer = weights(5, 5), weights(8, 5)

    def call(image: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(image, (8, 8))

        def body(step: tf.Tensor, state: tf.Tensor, out: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            state = tf.tanh(tf.matmul(state, inner) + tf.matmul(tf.gather(rows, [step]), outer))
            return step + 1, state, tf.tensor_scatter_nd_update(out, [[step]], state)

        start = (0, tf.zeros((1, 5)), tf.zeros((8, 5)))
        _, _, out = tf.while_loop(lambda step, *_: step < 8, body, start)
        return tf.reshape(tf.nn.softmax(4 * out), (1, 8, 5))

    return call


def flex() -> Callable[[tf.Tensor], tf.Tensor]:
    """The inverse of a matrix, an op that TFLite has no kernel for."""
    return lambda image: tf.nn.softmax(tf.linalg.inv(tf.reshape(image, (1, 8, 8)) + 8 * tf.eye(8))[:, :, :5])


def convert(call: Callable[[tf.Tensor], tf.Tensor], mode: str = "float32") -> bytes:
    """The file of one network in one mode."""
    module = tf.Module()
    module.layer = getattr(call, "layer", None)
    module.serve = tf.function(
        lambda image: {"probabilities": call(image)}, input_signature=[tf.TensorSpec((1, 8, 8, 1), tf.float32, "image")]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in ("full-int8", "int16x8"):
        converter.representative_dataset = samples
    if mode == "full-int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if mode == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    if mode == "flex":
        converter.optimizations = []
        converter.target_spec.supported_ops.append(tf.lite.OpsSet.SELECT_TF_OPS)
    content: bytes = converter.convert()
    return content


def answers(call: Callable[[tf.Tensor], tf.Tensor], images: Any) -> Any:
    """What TensorFlow computes, image by image."""
    return np.concatenate([call(tf.constant(image[np.newaxis])).numpy() for image in images])


def samples() -> Iterator[list[Any]]:
    """A calibration set."""
    for _ in range(32):
        yield [RANDOM.random((1, 8, 8, 1), np.float32)]


def unsigned(content: bytes) -> bytes:
    """Take the signature away and declare another output shape."""
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.signatureDefs = None
    output = model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]]
    output.shape, output.shapeSignature = [1, 1, 5], [1, -1, 5]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Write all files."""
    image = RANDOM.random((6, 8, 8, 1), np.float32)
    expected = {"image": image}
    network = conv()
    expected["conv"] = answers(network, image)
    files = {"conv": convert(network)}
    for mode in ("dynamic-range", "float16", "full-int8", "int16x8"):
        files[f"conv-{mode}"] = convert(network, mode)
    network = lstm()
    expected["lstm"] = answers(network, image)
    files |= {"lstm": convert(network), "lstm-full-int8": convert(network, "full-int8")}
    network = loop()
    expected["while"] = answers(network, image)
    files["while"] = convert(network)
    files |= {"unsigned": unsigned(files["while"]), "flex": convert(flex(), "flex")}
    np.savez(HERE / "expected.npz", **expected)
    for name, content in files.items():
        (HERE / f"{name}.tflite").write_bytes(content)
        print(f"{name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
