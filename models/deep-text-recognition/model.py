"""The four-stage scene text recognizer of Baek et al. 2019 ("What Is Wrong With Scene Text Recognition ...").

https://github.com/clovaai/deep-text-recognition-benchmark, Apache-2.0; the network is ours (`network.py`), from the
paper's architecture, with the names of the published weights.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.ctc import greedy
from ocr_conformance.convert.phone import gray_pillow, open_8bit, resize_bicubic
from ocr_conformance.model import Recognizer, TensorSpec, TorchModel, Weights

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

HEIGHT, WIDTH = 32, 100
STEPS = 26
"""Of the attention decoder: 25 characters and the mark of the end."""
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
CASE_SENSITIVE = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""The 94 printable characters without the space, in the published order (Python's ``string.printable``)."""

_SUFFIX = "-case-sensitive"
STAGES = (("None", "TPS"), ("VGG", "RCNN", "ResNet"), ("None", "BiLSTM"), ("CTC", "Attn"))
VARIANTS = tuple("-".join(names) + suffix for suffix in ("", _SUFFIX) for names in itertools.product(*STAGES))
_FRAMES = {"VGG": WIDTH // 4 - 1, "RCNN": WIDTH // 4 + 1, "ResNet": WIDTH // 4 + 1}


class DeepTextRecognition(TorchModel, Recognizer):
    """Variants: ``Transformation-Features-Sequence-Prediction``, ``-case-sensitive`` for the alphabet of 94."""

    def __init__(self, variant: str, weights: Weights) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"deep-text-recognition has no variant {variant!r} (it has {', '.join(VARIANTS)})")
        super().__init__(variant, weights)
        self.alphabet = CASE_SENSITIVE if variant.endswith(_SUFFIX) else ALPHABET
        self.stages = variant.removesuffix(_SUFFIX).split("-")

    @property
    def attention(self) -> bool:
        """Whether the decoder is the attention one: its classes are preceded by two marks, not by a blank."""
        return self.stages[3] == "Attn"

    @property
    def classes(self) -> int:
        """Of the last layer."""
        return len(self.alphabet) + (2 if self.attention else 1)

    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec("image", (1, 1, HEIGHT, WIDTH), "float32", -1.0, 1.0)]

    def outputs(self) -> list[TensorSpec]:
        frames = STEPS if self.attention else _FRAMES[self.stages[1]]
        return [TensorSpec("scores", (1, frames, self.classes), "float32")]

    def preprocess(self, path: str) -> Tensors:
        """As upstream's ``demo.py``: Pillow's gray, stretched to 100x32 by its bicubic filter, to [-1, 1].

        Returns:
            ``image``: ``[1, 1, 32, 100]`` float32 in [-1, 1].
        """
        import numpy as np
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as opened:
                image = opened.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{path} is not an image that can be read ({error})") from error
        # torchvision's ToTensor, then sub_(0.5).div_(0.5)
        values = (np.asarray(image, np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
        return {"image": values[None, None]}

    def phone_preprocess(self, path: str) -> Tensors:
        """The same in numpy; see the README for each step."""
        import numpy as np

        image = open_8bit(path)
        if image.mode in ("L", "1", "LA"):
            gray = np.asarray(image.convert("L"))
        else:
            gray = gray_pillow(np.asarray(image.convert("RGB")))
        resized = resize_bicubic(gray, HEIGHT, WIDTH).astype(np.float32)
        return {"image": (resized / np.float32(127.5) - np.float32(1))[None, None]}

    def decode(self, outputs: Tensors) -> list[str]:
        """Best class per frame: CTC merges repeats and drops the blank (0), attention stops at the mark ``[s]`` (1)."""
        best = outputs["scores"].argmax(axis=-1)
        if not self.attention:
            return greedy(best, self.alphabet)
        texts = []
        for row in best:
            kept = list(itertools.takewhile(lambda index: index != 1, row))
            texts.append("".join(self.alphabet[index - 2] for index in kept if index >= 2))
        return texts

    def torch_model(self, *, form: str = "source") -> Any:
        from ocr_conformance.convert.torch_weights import load_state_dict, seed_weights
        from ocr_conformance.job import beside

        network = beside(__file__, "network.py")
        if form not in ("source", "portable"):
            raise ValueError(f"deep-text-recognition has no form {form!r} (it has: source, portable)")
        transformation, features, sequence, prediction = self.stages
        architecture = network.Architecture(transformation, features, sequence, prediction, self.classes)
        module = network.Network(architecture, form)
        if self.weights.path is None:
            seed_weights(module, "deep-text-recognition", _gain, _seeded)
        else:
            load_state_dict(module, self.weights.path)
        return module.eval()


_GAINS = {
    "Prediction.weight": 12.0,
    "Prediction.generator.weight": 12.0,
    "attention_cell.rnn.weight_ih": 5.0,
    "weight_ih": 2.0,
    "weight_hh": 0.7,
    "fc2": 0.02,
    "wf_u": 1.5,
    "wgf_u": 1.5,
    "wr_x": 0.5,
    "wgr_x": 0.5,
    ".layer": 1.2,
    "ConvNet.conv": 1.2,
    "": 2.4,
}
"""By a part of the name, the first that is found: larger than Glorot's where activations would die away, smaller in the
ResNet, whose shortcuts add up, and in what the RCNN feeds back, and sharp at the end: images then read differently.
"""


def _gain(name: str) -> float:
    return next(gain for part, gain in _GAINS.items() if part in name)


def _seeded(name: str, drawn: Any) -> Any | None:
    """The spline's first guess (Shi et al. 2016, figure 6 a: two straight lines), moved a little by the image."""
    import numpy as np

    if name == "Prediction.bias":
        biased = drawn.copy()
        biased[0] = 3.0  # the blank: texts have about the length of a word
        return biased
    if not name.endswith("localization_fc2.bias"):
        return None
    half = len(drawn) // 4
    across = np.linspace(-1, 1, half)
    lines = [np.stack([across, np.full(half, height)], 1) for height in (-0.9, 0.9)]
    return drawn + np.concatenate(lines).reshape(-1).astype(np.float32)
