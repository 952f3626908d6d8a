"""A frozen graph of TensorFlow 1 (a ``GraphDef`` with its weights as constants) as a function and as a SavedModel."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.saved_model import save_named

if TYPE_CHECKING:
    from ocr_conformance.model import TensorSpec


def read(path: str) -> Any:
    """The ``GraphDef`` in a file.

    Its ops are run as they stand: a graph from a source that is not trusted can read and write files.

    Raises:
        ValueError: the file holds none.
    """
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(Path(path).read_bytes())
    except Exception as error:  # of protobuf's several implementations
        raise ValueError(f"{Path(path).name} is no frozen graph ({error})") from error
    if not graph.node:
        raise ValueError(f"{Path(path).name} is no frozen graph (it has no nodes)")
    return graph


def function(path: str, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec]) -> Callable[..., list[Any]]:
    """A function from tensors in the order of ``inputs`` to those of ``outputs``, for use in a ``tf.function``.

    Args:
        inputs, outputs: what the model declares, by the names of the graph's nodes.

    Raises:
        ValueError: see `read`; or the graph lacks a node.
    """
    import tensorflow as tf

    graph = read(path)
    names = {node.name for node in graph.node}
    for node in (*inputs, *outputs):
        if node not in names:
            raise ValueError(f"{Path(path).name} has no node {node!r}: it is another graph than the published one")

    def call(*tensors: Any) -> list[Any]:
        feeds = {f"{node}:0": tensor for node, tensor in zip(inputs, tensors, strict=True)}
        wanted = [f"{node}:0" for node in outputs]
        return list(tf.graph_util.import_graph_def(graph, input_map=feeds, return_elements=wanted, name="frozen"))

    return call


def save(path: str, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec], folder: str) -> None:
    """Write a SavedModel with the names and the fixed shapes that the model declares; see `function`."""
    save_named(function(path, inputs, outputs), list(inputs.values()), list(outputs.values()), folder)


def parameters(path: str) -> int:
    """Number of values in the graph's floating constants."""
    import tensorflow as tf

    count = 0
    for node in read(path).node:
        if node.op == "Const" and tf.as_dtype(node.attr["dtype"].type).is_floating:
            count += math.prod(dimension.size for dimension in node.attr["value"].tensor.tensor_shape.dim)
    return count
