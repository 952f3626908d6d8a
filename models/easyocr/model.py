"""EasyOCR's English recognizer ``english_g2``: CRNN (VGG, two bidirectional LSTMs, CTC) for words of any width.

EasyOCR 1.7.2, https://github.com/JaidedAI/EasyOCR, Apache-2.0. The package imports torchvision and is not needed: its
preprocessing and decoding are written out here, the network is that of `deep-text-recognition` in other sizes.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.ctc import greedy
from ocr_conformance.convert.phone import open_gray, resize_bicubic
from ocr_conformance.model import Recognizer, TensorSpec, TorchModel, Weights

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

HEIGHT, WIDTH = 64, 320
CHARACTERS = "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""``config.py``, ``english_g2``: classes 1 to 96; class 0 is the blank."""
LANGUAGE = CHARACTERS
"""What ``Reader(["en"])`` reads: its letters and the model's ``symbols``, which is all of them."""
IGNORED = tuple(index for index, character in enumerate(CHARACTERS, 1) if character not in LANGUAGE)
"""Classes that ``recognizer_predict`` sets to probability 0 before it takes the best (for English: none)."""

_VARIANT = re.compile(r"w([1-9][0-9]{1,3})")


class EasyOCR(TorchModel, Recognizer):
    """Variants: none (64x320), ``w512`` and the like: another width in pixels, 16 to 9999."""

    alphabet = CHARACTERS

    def __init__(self, variant: str, weights: Weights) -> None:
        found = _VARIANT.fullmatch(variant)
        if variant and (found is None or int(found[1]) < 16):
            raise ValueError(f"easyocr has no variant {variant!r} (it has wN: N pixels wide, 16 to 9999, e.g. w512)")
        super().__init__(variant, weights)
        self.width = int(found[1]) if found else WIDTH

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, 1, HEIGHT, self.width), "float32", -1.0, 1.0)]

    def outputs(self) -> list[TensorSpec]:
        return [TensorSpec("scores", (1, self.width // 4 - 1, len(CHARACTERS) + 1), "float32")]

    def preprocess(self, path: str) -> Tensors:
        """As ``AlignCollate`` in the package's ``recognition.py`` prepares a gray image for the network.

        Pillow's bicubic to 64 x min(ceil(64 w / h), width), [-1, 1], the last column repeated to the right. What
        ``Reader`` does around it is not the recognizer's: it scales each crop to 64 high by OpenCV's bilinear before,
        and tries again with more contrast where it is not confident.

        Returns:
            ``image``: ``[1, 1, 64, width]`` float32 in [-1, 1].
        """
        import cv2
        import numpy as np
        from PIL import Image

        gray = cv2.imread(path, cv2.IMREAD_GRAYSCALE)  # as ``reformat_input``
        if gray is None:
            raise ValueError(f"{path} is not an image that can be read (OpenCV)")
        image = Image.fromarray(gray)
        fitted = image.resize((self._fitted(*image.size), HEIGHT), Image.Resampling.BICUBIC)
        # torchvision's ToTensor, then sub_(0.5).div_(0.5)
        values = (np.asarray(fitted, np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
        return {"image": self._padded(values)}

    def phone_preprocess(self, path: str) -> Tensors:
        """The same in numpy; see the README for each step."""
        import numpy as np

        gray = open_gray(path)
        height, width = gray.shape
        fitted = resize_bicubic(gray, HEIGHT, self._fitted(width, height)).astype(np.float32)
        return {"image": self._padded(fitted / np.float32(127.5) - np.float32(1))}

    def _fitted(self, width: int, height: int) -> int:
        return min(math.ceil(HEIGHT * (width / height)), self.width)

    def _padded(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        import numpy as np

        missing = self.width - values.shape[1]
        return np.pad(values, ((0, 0), (0, missing)), mode="edge")[None, None]

    def decode(self, outputs: Tensors) -> list[str]:
        """The package's greedy decoder: softmax, ignored classes out, best class, repeats merged, blanks dropped."""
        import numpy as np

        scores = outputs["scores"].copy()
        scores[..., list(IGNORED)] = -np.inf  # the order of classes is that of their probabilities
        return greedy(scores.argmax(axis=-1), CHARACTERS)

    def torch_model(self, *, form: str = "source") -> Any:
        from ocr_conformance.convert.torch_weights import load_state_dict
        from ocr_conformance.job import beside

        network = beside(__file__, "../deep-text-recognition/network.py")
        if form not in ("source", "portable"):
            raise ValueError(f"easyocr has no form {form!r} (it has: source, portable)")
        if self.weights.path is None:
            raise ValueError("easyocr's weights are a file: there are none to draw from a seed")
        architecture = network.Architecture(
            "None", "VGG", "BiLSTM", "CTC", len(CHARACTERS) + 1, HEIGHT, self.width, channels=256
        )
        module = network.Network(architecture, form)
        load_state_dict(module, self.weights.path)
        return module.eval()
