"""The scene text detector CRAFT of Baek et al. 2019 ("Character Region Awareness for Text Detection").

https://github.com/clovaai/CRAFT-pytorch, MIT, in the form that EasyOCR 1.7.2 uses (Apache-2.0). The network is ours
(`network.py`), from the paper's architecture, with the names of the published weights; so are the preprocessing and the
boxes (`recipe.py`). EasyOCR's package imports torchvision and is not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.job import beside
from ocr_conformance.model import TorchModel, Weights

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

recipe = beside(__file__, "recipe.py")


class Craft(recipe.Scenes, TorchModel):  # type: ignore[misc, name-defined]
    """Variants: ``320`` and the like, the pixels of the square input: a multiple of 32."""

    def __init__(self, variant: str, weights: Weights) -> None:
        self.side: int = recipe.side(variant, "craft")
        super().__init__(variant, weights)
        self._modules: dict[str, Any] = {}

    def predict(self, inputs: Tensors) -> Tensors:
        """The network as shipped, picture by picture: 16 of 800x800 would take gigabytes."""
        from ocr_conformance.runtime import tensors, torch

        return tensors.one_by_one(lambda sample: torch.predict(self, sample), inputs)

    def torch_model(self, *, form: str = "source") -> Any:
        from ocr_conformance.convert.torch_weights import load_state_dict

        if form not in ("source", "portable"):
            raise ValueError(f"craft has no form {form!r} (it has: source, portable)")
        if self.weights.path is None:
            raise ValueError("craft's weights are a file: there are none to draw from a seed")
        if form not in self._modules:
            module = beside(__file__, "network.py").Craft(form)
            load_state_dict(module, self.weights.path)
            self._modules[form] = module.eval()
        return self._modules[form]
