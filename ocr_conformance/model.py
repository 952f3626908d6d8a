"""The interface between a source model and the engine. Runs in child processes only, beside the framework.

A model folder's ``model.py`` defines a subclass of `Recognizer` or `Detector`. Frameworks are imported inside methods,
never at the top: a child process that only needs the preprocessing should not pay for the network.
"""

from __future__ import annotations

import abc
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ocr_conformance.job import import_file

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """What a model promises of one input or output: the batch is 1 and comes first."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float | None = None
    """Smallest value the source can be fed (or give), where that is known."""
    high: float | None = None


@dataclass(frozen=True)
class Weights:
    """Which weights a source model carries, and how they are told apart.

    Attributes:
        name: ``seeded``, ``shipped``, ``pretrained`` or the file's name.
        path: file to load; ``None`` for weights that the adapter draws from a seed.
        sha256: hash of the file, or of the recipe's name for seeded weights.
    """

    name: str
    path: str | None
    sha256: str


def in_order(outputs: list[TensorSpec], given: Any) -> list[Any]:
    """What a network gives, in the order of ``outputs``: a dict's values by name, those of a list by place.

    Raises:
        ValueError: their names, or how many there are, are not what the model declares.
    """
    if isinstance(given, dict):
        names = [spec.name for spec in outputs]
        if given.keys() != set(names):
            raise ValueError(
                f"the model declares the outputs {', '.join(names)}, its network gives {', '.join(map(str, given))}"
            )
        return [given[name] for name in names]
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(listed) != len(outputs):
        raise ValueError(f"the model declares {len(outputs)} outputs, its network has {len(listed)}")
    return listed


class SourceModel(abc.ABC):
    """A source OCR network in its own framework, with its preprocessing and its decoding."""

    def __init__(self, variant: str, weights: Weights) -> None:
        self.variant = variant
        self.weights = weights

    @abc.abstractmethod
    def inputs(self) -> list[TensorSpec]:
        """Inputs of the exported network, batch 1."""

    @abc.abstractmethod
    def outputs(self) -> list[TensorSpec]:
        """Outputs of the exported network, batch 1."""

    @abc.abstractmethod
    def preprocess(self, path: str) -> Tensors:
        """Read an image file as the source library does: one array of ``inputs()``'s shape and dtype per input.

        Raises:
            ValueError: the file does not decode.
        """

    @abc.abstractmethod
    def phone_preprocess(self, path: str) -> Tensors:
        """The recipe an app follows, written without the source library: must give what `preprocess` gives."""

    @abc.abstractmethod
    def predict(self, inputs: Tensors) -> Tensors:
        """Run the source network *as shipped* on arrays whose first axis is the sample; same axis in the outputs."""

    @abc.abstractmethod
    def parameters(self) -> int:
        """Number of weight values in the network (trainable or not)."""


class Recognizer(SourceModel):
    """Reads a word image into text."""

    alphabet: str
    """Characters in class order, without the CTC blank. May be set on an instance, to decode another file's classes."""
    reading: dict[str, Any]
    """A contract's ``[reading]``, where it has one; set on the instance."""
    lengths: tuple[int, int] = (1, 8)
    """Characters of the shortest and of the longest word that a search draws: as what the network was trained on."""

    @abc.abstractmethod
    def decode(self, outputs: Tensors) -> list[str]:
        """Text per sample from (de-quantized) outputs whose first axis is the sample, as the source library decodes."""


class Detector(SourceModel):
    """Finds text in a scene."""

    @abc.abstractmethod
    def boxes(self, outputs: Tensors, sizes: list[tuple[int, int]]) -> list[list[list[list[float]]]]:
        """Polygons per sample from (de-quantized) outputs whose first axis is the sample, as the source library does.

        Args:
            outputs: maps by declared name, float32 ``[N, ...]``. Whatever numbers a broken network gives, NaN and
                infinity included, the answer is boxes or none.
            sizes: (height, width) of each original image in pixels, turned as its EXIF orientation says
                (`ocr_conformance.convert.scenes.read_rgb` gives such an image).

        Returns:
            For each sample its polygons: four points ``[x, y]``, clockwise from the top left one of the text, in pixels
            of the original image (x to the right, y down, 0 the left or upper edge). They may reach beyond its border.
            A sample without text has none.

        Raises:
            ValueError: there are more or fewer samples than sizes.
        """


class KerasModel(SourceModel):
    """A source whose routes start from a ``keras.Model`` (or ``tf_keras.Model``)."""

    _kept: Any = None

    @abc.abstractmethod
    def keras_model(self, *, unroll: bool = False) -> Any:
        """The network to export: inputs and outputs as declared, any batch; ``unroll`` unrolls recurrent layers.

        A dict of outputs is taken by the declared names, a list in their order.

        Rewrites that a converter needs are made here and described in the model's README; the ``saved-model`` hop
        compares their output with `predict`, so that a rewrite that changes the network is caught.
        """

    def predict(self, inputs: Tensors) -> Tensors:
        """`keras_model` in batches of 16, kept for the next call. Where that rewrites anything, override this.

        Raises:
            ValueError: the network gives other outputs than `outputs` declares.
        """
        import numpy as np

        if self._kept is None:
            self._kept = self.keras_model()
        fed = [inputs[spec.name] for spec in self.inputs()]
        given = self._kept.predict(fed[0] if len(fed) == 1 else fed, batch_size=16, verbose=0)
        outputs = self.outputs()
        return {spec.name: np.asarray(value) for spec, value in zip(outputs, in_order(outputs, given), strict=True)}

    def parameters(self) -> int:
        """Weight values, BatchNorm statistics included."""
        return int(self.keras_model().count_params())


class TorchModel(SourceModel):
    """A source whose routes start from a ``torch.nn.Module``."""

    _shipped: Any = None

    @abc.abstractmethod
    def torch_model(self, *, form: str = "source") -> Any:
        """The network in evaluation mode: takes `inputs` in order, returns the tensor (or tuple) that `outputs` names.

        Args:
            form: ``source`` is the network as shipped. A route that ends in ``-portable`` asks for ``portable``: the
                same function and weights by ops that more converters have, described in the model's README; the first
                hop's output is compared with `predict`, so that a rewrite that changes the network is caught.

        Raises:
            ValueError: there is no such form.
        """

    def predict(self, inputs: Tensors) -> Tensors:
        """The network as shipped, in batches of 16; it is kept for the next call."""
        from ocr_conformance.runtime import torch

        if self._shipped is None:
            self._shipped = self.torch_model()
        return torch.predict(self, inputs, self._shipped)

    def predictor(self) -> Any:
        """What latency is measured against: the network as shipped on one sample, without gradients."""
        from ocr_conformance.runtime import torch

        return torch.predictor(self)

    def parameters(self) -> int:
        """Weight values, BatchNorm statistics included, counters not."""
        return sum(value.numel() for value in self.torch_model().state_dict().values() if value.is_floating_point())


class OnnxModel(SourceModel):
    """A source that exists as an ONNX file; onnxruntime is its framework."""

    @abc.abstractmethod
    def onnx_file(self) -> str:
        """Path of the file."""


class SavedModelSource(SourceModel):
    """A source that exists as a SavedModel; TensorFlow is its framework."""

    @abc.abstractmethod
    def saved_model(self) -> str:
        """Folder of the SavedModel."""


def load_adapter(reference: str) -> type[SourceModel]:
    """The class that ``/path/model.py:ClassName`` names."""
    path, _, name = reference.rpartition(":")
    adapter: type[SourceModel] = getattr(import_file(path), name)
    return adapter


def build(reference: dict[str, Any]) -> Any:
    """Instantiate the adapter that a job's ``model`` parameter names (see `model_reference`)."""
    adapter = load_adapter(reference["adapter"])
    model = adapter(reference["variant"], Weights(**reference["weights"]))
    for name in ("reading", "alphabet"):  # of a network that is only a file; of another file's classes
        if name in reference:
            if not isinstance(model, Recognizer):
                raise ValueError(f"{name} belongs to a recognizer")
            setattr(model, name, reference[name])
    return model


def model_reference(adapter: str, variant: str, weights: Weights) -> dict[str, Any]:
    """The JSON form of a model in a job."""
    return {"adapter": adapter, "variant": variant, "weights": asdict(weights)}
