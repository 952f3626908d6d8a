"""Hop: a Keras model becomes a SavedModel with one serving signature of batch 1."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ocr_conformance.job import Job
from ocr_conformance.model import KerasModel, SavedModelSource, TensorSpec, build, in_order
from ocr_conformance.runtime.saved_model import SavedModelSession

SIGNATURE = "serving_default"


def export(job: Job) -> dict[str, Any]:
    """Write ``job.out/saved_model``: inputs and outputs bear the names that the model declares.

    A SavedModel that is the source itself is wrapped in the same way.

    A fixed batch is what makes recurrent layers convert: with batch ``None`` the converter refuses them
    (``'tf.TensorListReserve' op requires element_shape to be static``).

    Params:
        model: reference to a `KerasModel` or a `SavedModelSource`.
        unroll: unroll its recurrent layers over time.

    Returns:
        ``tensorflow``, ``keras`` (versions), ``seconds`` per phase.

    Raises:
        ValueError: the network's tensors differ in number or shape from what the model declares.
    """
    job.stage("source")
    started = time.perf_counter()
    source: KerasModel | SavedModelSource = build(job.params["model"])
    import tensorflow as tf  # after the adapter, which may have to say which Keras TensorFlow shall bind

    inputs, outputs = source.inputs(), source.outputs()
    call: Callable[..., list[Any]]
    if isinstance(source, SavedModelSource):
        session = SavedModelSession(source.saved_model(), source)
        call, version = session.graph, "none: the source is a SavedModel"
        built = time.perf_counter()
        job.stage("export")
    else:
        model = source.keras_model(unroll=job.params["unroll"])
        call, version = _keras_call(model, outputs), _keras_version(model)
        built = time.perf_counter()
        job.stage("export")
        _compare("input", inputs, model.inputs)
    save_named(call, inputs, outputs, str(job.out / "saved_model"))
    saved = time.perf_counter()
    return {
        "tensorflow": tf.__version__,
        "keras": version,
        "seconds": {"build": built - started, "save": saved - built},
    }


def save_named(
    call: Callable[..., list[Any]], inputs: list[TensorSpec], outputs: list[TensorSpec], folder: str
) -> None:
    """Write a SavedModel with one signature: ``call`` with the names and the fixed shapes that a model declares.

    Args:
        call: takes TensorFlow tensors in the order of ``inputs``, gives them in that of ``outputs``.
    """
    import tensorflow as tf

    # A function of our own rather than model.export(): the same for Keras 3 and tf_keras, and the names are ours.
    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec(spec.shape, spec.dtype, spec.name) for spec in inputs], autograph=False
    )
    def serve(*tensors: Any) -> dict[str, Any]:
        listed = call(*tensors)
        for spec, tensor in zip(outputs, listed, strict=True):
            tensor.set_shape(spec.shape)  # known to the model, lost where an op's shape depends on data
        return {spec.name: tensor for spec, tensor in zip(outputs, listed, strict=True)}

    module = tf.Module()
    # A SavedModel holds what can be reached from it. Not by way of the model: Keras 3 hides the states of its seed
    # generators (dropout in an LSTM), which the function captures although inference needs none.
    module.captured = list(serve.get_concrete_function().graph.variables)
    tf.saved_model.save(module, folder, signatures={SIGNATURE: serve})


def _keras_call(model: Any, outputs: list[TensorSpec]) -> Callable[..., list[Any]]:
    def call(*tensors: Any) -> list[Any]:
        import tensorflow as tf

        results = model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)
        given = in_order(outputs, results if isinstance(results, dict) else tf.nest.flatten(results))
        _compare("output", outputs, given)  # here: ``model.outputs`` has a dict's in another order than the dict
        return given

    return call


def _compare(kind: str, declared: list[TensorSpec], actual: list[Any]) -> None:
    if len(declared) != len(actual):
        raise ValueError(f"the model declares {len(declared)} {kind}s, its network has {len(actual)}")
    for spec, tensor in zip(declared, actual, strict=True):
        shape = tuple(tensor.shape)
        if len(shape) != len(spec.shape) or any(
            size not in (None, promised) for size, promised in zip(shape, spec.shape, strict=True)
        ):
            raise ValueError(f"the model declares {kind} {spec.name} as {spec.shape}, its network has {shape}")


def _keras_version(model: Any) -> str:
    """Version of the Keras that ``model`` is made of (``keras`` and ``tf_keras`` can both be loaded)."""
    import importlib

    for base in type(model).__mro__:
        package = base.__module__.partition(".")[0]
        if package in ("keras", "tf_keras"):
            version: str = importlib.import_module(package).__version__
            return f"{package} {version}"
    return type(model).__module__
