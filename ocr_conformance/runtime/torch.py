"""Run a PyTorch source network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocr_conformance.model import Tensors, TorchModel

BATCH = 16


def predict(model: TorchModel, inputs: Tensors, network: Any = None) -> Tensors:
    """The network's outputs by declared name, as shipped, on ``[N, ...]`` arrays by declared name.

    ``network`` is what `TorchModel.torch_model` gives, where somebody has it.
    """
    import numpy as np
    import torch

    network = model.torch_model() if network is None else network
    names = [spec.name for spec in model.inputs()]
    results: list[list[Any]] = []
    with torch.inference_mode():
        for start in range(0, len(inputs[names[0]]), BATCH):
            given = network(*(torch.from_numpy(inputs[name][start : start + BATCH]) for name in names))
            results.append([tensor.numpy() for tensor in (given if isinstance(given, tuple) else (given,))])
    outputs = [np.concatenate(column) for column in zip(*results, strict=True)]
    return {spec.name: value for spec, value in zip(model.outputs(), outputs, strict=True)}


def predictor(model: TorchModel) -> Callable[[Tensors], Any]:
    """A function of one sample, without gradients: what latency is measured against."""
    import torch

    network = model.torch_model()
    names = [spec.name for spec in model.inputs()]

    def call(sample: Tensors) -> Any:
        with torch.inference_mode():
            return network(*(torch.from_numpy(sample[name]) for name in names))

    return call
