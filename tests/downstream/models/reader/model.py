"""A recognizer of somebody else's repository, in numpy: the smallest network that the whole engine can judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.model import Recognizer, TensorSpec, Weights

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

ALPHABET = "abcd"
FRAMES, SIDE = 5, 4
"""An image is a row of squares, one a character; its gray level is the character's."""


def levels() -> npt.NDArray[Any]:
    """Gray level of each character and of the blank, 0 .. 1."""
    import numpy as np

    return np.linspace(0.01, 0.97, len(ALPHABET) + 1, dtype=np.float32)


def softmax_distance(mean: npt.NDArray[Any], centers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Class probabilities ``[N, frames, classes]`` by distance of a frame's mean gray level to each center."""
    import numpy as np

    scores = np.exp(-40 * np.abs(mean[..., None] - centers))
    probabilities: npt.NDArray[Any] = scores / scores.sum(axis=-1, keepdims=True)
    return probabilities.astype(np.float32)


class Reader(Recognizer):
    """Variants: none, and those of the contract, which differ in their routes' options only."""

    alphabet = ALPHABET

    def __init__(self, variant: str, weights: Weights) -> None:
        super().__init__(variant, weights)
        if weights.path is not None:
            raise ValueError(f"{weights.path} holds no weights of this model")

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, SIDE, FRAMES * SIDE, 1), "float32", 0.0, 1.0)]

    def outputs(self) -> list[TensorSpec]:
        return [TensorSpec("probabilities", (1, FRAMES, len(ALPHABET) + 1), "float32", 0.0, 1.0)]

    def preprocess(self, path: str) -> Tensors:
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            gray = np.asarray(image.convert("L").resize((FRAMES * SIDE, SIDE)), np.float32) / 255
        return {"image": gray[np.newaxis, :, :, np.newaxis]}

    def phone_preprocess(self, path: str) -> Tensors:
        return self.preprocess(path)

    def predict(self, inputs: Tensors) -> Tensors:
        frames = inputs["image"].reshape(-1, SIDE, FRAMES, SIDE).mean(axis=(1, 3))
        return {"probabilities": softmax_distance(frames, levels())}

    def decode(self, outputs: Tensors) -> list[str]:
        best = outputs["probabilities"].argmax(axis=-1)
        return ["".join(self.alphabet[index] for index in row if index < len(self.alphabet)) for row in best]

    def parameters(self) -> int:
        return 2000 * (len(ALPHABET) + 1)
