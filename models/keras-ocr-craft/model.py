"""CRAFT as the package keras-ocr builds it in Keras, with the published PyTorch weights.

keras-ocr 0.9.3, https://github.com/faustomorales/keras-ocr, MIT. Preprocessing and boxes are those of the model
`craft`, so that the two can be held against each other: the same picture must give the same boxes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.job import beside
from ocr_conformance.model import KerasModel, Weights

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

recipe = beside(__file__, "../craft/recipe.py")
package = beside(__file__, "../keras-ocr/model.py")


class KerasOCRCraft(recipe.Scenes, KerasModel):  # type: ignore[misc, name-defined]
    """Variants: ``320`` and the like, the pixels of the square input: a multiple of 32."""

    def __init__(self, variant: str, weights: Weights) -> None:
        self.side: int = recipe.side(variant, "keras-ocr-craft")
        package.choose_keras()
        super().__init__(variant, weights)
        self._shipped: Any = None

    def predict(self, inputs: Tensors) -> Tensors:
        """The package's network, picture by picture."""
        return {"maps": self._package_model().predict(inputs["image"], batch_size=1, verbose=0)}

    def parameters(self) -> int:
        count: int = self._package_model().count_params()
        return count

    def keras_model(self, *, unroll: bool = False) -> Any:
        """The package's network, any size; the export fixes it. There is nothing recurrent to ``unroll``."""
        return self._package_model()

    def _package_model(self) -> Any:
        """As ``Detector(weights="clovaai_general", load_from_torch=True)`` builds it, input ``[N, H, W, 3]``."""
        if self._shipped is None:
            path = self.weights.path
            if path is None:
                raise ValueError("keras-ocr-craft's weights are a file: there are none to draw from a seed")
            if not path.endswith((".pth", ".h5")):
                raise ValueError(f"weights {Path(path).name}: the package reads .pth and .h5")
            detection = import_keras_ocr().detection
            model = detection.build_keras_model()
            try:
                detection.load_torch_weights(model, path) if path.endswith(".pth") else model.load_weights(path)
            except Exception as error:  # of torch, h5py and the package, which documents none
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ValueError(f"weights {Path(path).name} do not fit keras-ocr's CRAFT: {reason}") from error
            self._shipped = model
        return self._shipped


def import_keras_ocr() -> Any:
    """Import the package (the contract's ``preload``); see the function of this name in the model `keras-ocr`."""
    package.import_keras_ocr()
    import keras_ocr.detection

    return keras_ocr
