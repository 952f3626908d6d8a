"""Defects of an adapter: slips in what a model says of its preprocessing, its classes and its boxes.

Each class is put before the model's own (``class Planted(Defect, Model)``) in a copy of its folder.
``phone_preprocess`` is the recipe that an app follows; ``decode`` and ``boxes`` read the source's outputs and the
artifact's alike.
"""

from __future__ import annotations

from typing import Any

Tensors = dict[str, Any]


class _Recipe:
    """The app's recipe differs from the source's preprocessing."""

    def phone_preprocess(self, path: str) -> Tensors:
        found: Tensors = super().phone_preprocess(path)  # type: ignore[misc]
        return {name: self.spoil(value).astype(value.dtype) for name, value in found.items()}

    def spoil(self, value: Any) -> Any:
        raise NotImplementedError


class ChannelsSwapped(_Recipe):
    """BGR for RGB."""

    def spoil(self, value: Any) -> Any:
        return value[..., ::-1].copy()


class Darker(_Recipe):
    """Divided by 256, not by 255."""

    def spoil(self, value: Any) -> Any:
        return value * (255 / 256)


class Unscaled(_Recipe):
    """0 to 255 where the network wants 0 to 1."""

    def spoil(self, value: Any) -> Any:
        return value * 255


class Negative(_Recipe):
    """The mean is added, not subtracted: what is 0 to 1 becomes 1 to 0."""

    def spoil(self, value: Any) -> Any:
        return 1 - value


class MeanForgotten(_Recipe):
    """Scaled to 0 .. 1 and nothing else: the mean and the deviation of the training set are left out."""

    def spoil(self, value: Any) -> Any:
        import numpy as np

        mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
        return value * std + mean


class Flipped(_Recipe):
    """The width runs from right to left: NHWC [1, W, H, 1], as the captcha network has it."""

    def spoil(self, value: Any) -> Any:
        return value[:, ::-1].copy()


class _Filter:
    """The app resizes by another filter than the source library."""

    resample = "NEAREST"

    def phone_preprocess(self, path: str) -> Tensors:
        import tempfile
        from pathlib import Path

        from PIL import Image

        height, width = self.inputs()[0].shape[1:3]  # type: ignore[attr-defined]
        with Image.open(path) as image, tempfile.TemporaryDirectory() as folder:
            scale = min(height / image.height, width / image.width, 1)
            size = (round(image.width * scale), round(image.height * scale))
            resized = image.convert("RGB").resize(size, getattr(Image.Resampling, self.resample))
            target = Path(folder) / "resized.png"
            resized.save(target)
            found: Tensors = super().phone_preprocess(str(target))  # type: ignore[misc]
            return found


class Nearest(_Filter):
    """The nearest pixel in place of bilinear interpolation."""


class Antialiased(_Filter):
    """Bilinear with an antialiasing filter, as Pillow does it, where the source has none."""

    resample = "BILINEAR"


class AlphabetOffByOne:
    """Each class is taken for the character before it."""

    def decode(self, outputs: Tensors) -> list[str]:
        before = self.alphabet  # type: ignore[has-type]
        self.alphabet = before[-1:] + before[:-1]
        try:
            return super().decode(outputs)  # type: ignore[misc, no-any-return]
        finally:
            self.alphabet = before


class BlankFirst:
    """The blank is taken for the first class, where the network has it last."""

    def decode(self, outputs: Tensors) -> list[str]:
        import numpy as np

        return super().decode({name: np.roll(value, -1, axis=-1) for name, value in outputs.items()})  # type: ignore[misc, no-any-return]


class StepsDropped:
    """The first 8 time steps are not read."""

    def decode(self, outputs: Tensors) -> list[str]:
        return super().decode({name: value[:, 8:] for name, value in outputs.items()})  # type: ignore[misc, no-any-return]


class RepeatsKept:
    """CTC without merging: what lasts two steps is read twice."""

    def decode(self, outputs: Tensors) -> list[str]:
        best = outputs["probabilities"].argmax(axis=-1)
        return ["".join(self.alphabet[i] for i in row if i < len(self.alphabet)) for row in best]  # type: ignore[attr-defined]


class NextWord:
    """Each word is attached to the box behind its own."""

    def decode(self, outputs: Tensors) -> list[str]:
        found = super().decode(outputs)  # type: ignore[misc]
        return [*found[1:], *found[:1]]


class _Boxes:
    """What is made of the maps is not where the text is."""

    def boxes(self, outputs: Tensors, sizes: Any) -> Any:
        found = super().boxes(outputs, sizes)  # type: ignore[misc]
        return [[self.moved(box) for box in self.kept(scene)] for scene in found]

    def moved(self, box: Any) -> Any:
        return box

    def kept(self, boxes: Any) -> Any:
        return boxes


class CoordinatesSwapped(_Boxes):
    """x and y of every corner are exchanged."""

    def moved(self, box: Any) -> Any:
        return [[y, x] for x, y in box]


class StrideForgotten(_Boxes):
    """A pixel of the maps is two of the picture: not here."""

    def moved(self, box: Any) -> Any:
        return [[x / 2, y / 2] for x, y in box]


class TenthLost(_Boxes):
    """One box in ten is dropped, in every scene with that many: the first."""

    def kept(self, boxes: Any) -> Any:
        return boxes[-(-len(boxes) // 10) :]
