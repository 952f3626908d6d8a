"""A recognizer without a framework: the smallest thing that the engine's jobs can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.model import Recognizer, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

SIDE = 8
ALPHABET = "abcd"


class Toy(Recognizer):
    """Reads 8 x 8 gray images; each row is a frame, each frame a class, the fifth class is the blank.

    Variants: none; ``wide`` declares an output that no file gives; ``sloppy`` breaks its promise of a dtype.
    """

    alphabet = ALPHABET

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, SIDE, SIDE, 1), "float32", 0.0, 1.0)]

    def outputs(self) -> list[TensorSpec]:
        classes = 9 if self.variant == "wide" else 5
        return [TensorSpec("probabilities", (1, SIDE, classes), "float32", 0.0, 1.0)]

    def preprocess(self, path: str) -> Tensors:
        import numpy as np
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as image:
                gray = np.asarray(image.convert("L").resize((SIDE, SIDE)))
        except UnidentifiedImageError as error:
            raise ValueError("not an image") from error
        dtype = np.float64 if self.variant == "sloppy" else np.float32
        return {"image": (gray / 255).astype(dtype)[np.newaxis, :, :, np.newaxis]}

    def phone_preprocess(self, path: str) -> Tensors:
        return {name: 1 - value for name, value in self.preprocess(path).items()}

    def predict(self, inputs: Tensors) -> Tensors:
        return {"probabilities": inputs["image"][:, :, :5, 0]}

    def decode(self, outputs: Tensors) -> list[str]:
        return [
            "".join(self.alphabet[i] for i in frames if i < len(self.alphabet))
            for frames in outputs["probabilities"].argmax(axis=-1)
        ]

    def parameters(self) -> int:
        return 0


class Compiled(Toy):
    """A toy that offers a function of one sample, which is what latency should time."""

    def predictor(self) -> Callable[[Tensors], Any]:
        return lambda inputs: inputs["image"].sum()
