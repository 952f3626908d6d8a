"""Hop: a PyTorch network becomes a float ``.tflite`` file by litert-torch (``torch.export`` -> StableHLO -> TFLite)."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.model import TorchModel, build

if TYPE_CHECKING:
    from ocr_conformance.job import Job


def convert(job: Job) -> dict[str, Any]:
    """Write ``job.out/model.tflite``, float32; inputs and outputs bear the names that the model declares.

    Params: ``model`` (reference to a `TorchModel`), ``form`` (of the network, see `TorchModel.torch_model`).

    Returns:
        ``litert-torch``, ``torch`` (versions), ``seconds``, ``bytes``.

    Raises:
        ValueError: the model is no `TorchModel`, or the number of outputs is not what it declares.
    """
    job.stage("source")
    source = build(job.params["model"])
    if not isinstance(source, TorchModel):
        raise ValueError("this route starts from a PyTorch network, the model is none")
    import torch

    network = source.torch_model(form=job.params["form"])
    outputs = [spec.name for spec in source.outputs()]

    class Named(torch.nn.Module):  # type: ignore[misc]
        """Keywords in, a dict out: litert-torch takes the names of the signature from them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, **inputs: Any) -> dict[str, Any]:
            given = self.network(*(inputs[spec.name] for spec in source.inputs()))
            listed = given if isinstance(given, tuple) else (given,)
            return dict(zip(outputs, listed, strict=True))

    _shorten_names([Named, *map(type, network.modules())])
    samples = {spec.name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in source.inputs()}
    job.stage("convert")
    started = time.perf_counter()
    import litert_torch

    litert_torch.convert(Named().eval(), sample_kwargs=samples).export(str(job.out / "model.tflite"))
    return {
        "litert-torch": importlib.metadata.version("litert-torch"),
        "torch": torch.__version__,
        "seconds": time.perf_counter() - started,
        "bytes": (job.out / "model.tflite").stat().st_size,
    }


def _shorten_names(classes: Iterable[type]) -> None:
    """Rename classes for the file: litert-torch names each tensor by the classes and modules it comes from.

    Ours come from files below the user's cache: their paths would be in the artifact, thousands of times.
    """
    for one in classes:
        module = sys.modules.get(one.__module__)
        if one.__module__.startswith(("ocr_file_", "ocr_conformance")) and module is not None and module.__file__:
            one.__module__ = Path(module.__file__).stem
            one.__qualname__ = one.__name__
