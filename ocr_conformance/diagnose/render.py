"""Pictures of words from a few whole numbers, each 0 where a picture is plain. numpy and Pillow only.

The same numbers are drawn by a generator (pictures of one distribution, independent of each other) and by Hypothesis
(which steers and shrinks them); a picture looks the same again from what `Picture.to_json` gives.
"""

from __future__ import annotations

import contextlib
import io
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image, ImageFont

    Pixels = npt.NDArray[np.float32]

FACES = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono")
"""Of matplotlib's wheel, which is not imported; the plainest first."""
PILLOW_FACE = "Pillow"
"""Pillow's own, where there is no matplotlib."""
SIZES = (32, 28, 24, 40, 20, 48, 16)
"""Pixels an em."""
SPACINGS = (0, 1, 2, 3, 4, 6, 8, -1, -2)
"""Pixels between letters, beside the face's own."""
BACKGROUNDS = ("white", "black", "gradient", "stripes", "blotches")
"""``black``: white ink on black paper; the others are light, with black ink."""
LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits
"""What the words of scenes are made of."""
LENGTHS = (1, 8)
MOST_WORDS = 4
"""In a scene; it may also have none."""

OF_WORD = {
    "size": len(SIZES),
    "weight": 2,
    "spacing": len(SPACINGS),
    "rotation": 31,
    "perspective": 41,
    "indent": 20,
    "gap": 13,
}
"""How many values each number of a word has, from 0. ``weight`` 1 is bold. ``rotation``, degrees, and ``perspective``,
per cent that one end is smaller, alternate: 0, 1, -1, 2, -2, ... ``indent``, 8 pixels each, and ``gap`` above, 4 pixels
each, place a word in a scene; the word of a recognizer's picture has none."""
OF_PICTURE = {"contrast": 81, "blur": 21, "noise": 21, "quality": 96, "background": len(BACKGROUNDS)}
"""The same of a picture: per cent of contrast lost, tenths of a pixel, gray levels (about the standard deviation),
JPEG quality below 100 (0: no JPEG)."""
_PLACE = ("indent", "gap")

_MARGIN = 6
_SCENE = 320
"""Width and least height of a scene, pixels."""
_START = 8


@dataclass(frozen=True)
class Word:
    """A word and how it is written; see `OF_WORD`."""

    text: str
    face: str
    size: int = 0
    weight: int = 0
    spacing: int = 0
    rotation: int = 0
    perspective: int = 0
    indent: int = 0
    gap: int = 0


@dataclass(frozen=True)
class Picture:
    """Words and what was done to them; see `OF_PICTURE`."""

    words: tuple[Word, ...]
    contrast: int = 0
    blur: int = 0
    noise: int = 0
    quality: int = 0
    background: int = 0

    @property
    def texts(self) -> list[str]:
        """What is written, word by word."""
        return [word.text for word in self.words]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return {**asdict(self), "words": [asdict(word) for word in self.words]}

    @classmethod
    def from_json(cls, data: Any) -> Picture:
        """The inverse of `to_json`.

        Raises:
            ValueError: this is no such dict; says what of it is wrong.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("words"), list):
            raise ValueError("expected an object with a list 'words'")
        words = []
        for word in data["words"]:
            if not isinstance(word, Mapping) or not isinstance(word.get("text"), str) or not word["text"]:
                raise ValueError("expected words, each with a 'text'")
            if word.get("face") not in (*FACES, PILLOW_FACE):
                raise ValueError(f"expected 'face' to be one of {', '.join((*FACES, PILLOW_FACE))}")
            words.append(Word(word["text"], word["face"], **_numbers(word, OF_WORD, {"text", "face"})))
        return cls(tuple(words), **_numbers(data, OF_PICTURE, {"words"}))


def _numbers(data: Mapping[str, Any], known: Mapping[str, int], others: set[str]) -> dict[str, int]:
    for name in data:
        if name not in known and name not in others:
            raise ValueError(f"there is no {name!r}: expected {', '.join(known)}")
    for name, count in known.items():
        value = data.get(name)
        if type(value) is not int or not 0 <= value < count:
            raise ValueError(f"expected {name!r} to be a whole number from 0 to {count - 1}")
    return {name: data[name] for name in known}


def faces() -> tuple[str, ...]:
    """The faces that are here, the plainest first."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        here = tuple(face for face in FACES if _file(face).is_file() and _file(f"{face}-Bold").is_file())
        if here:
            return here
    return (PILLOW_FACE,)


def _file(face: str) -> Path:
    return Path(str(metadata.distribution("matplotlib").locate_file(f"matplotlib/mpl-data/fonts/ttf/{face}.ttf")))


def _font(face: str, size: int, *, bold: bool) -> ImageFont.FreeTypeFont:
    """A face laid out without raqm, which not every build of Pillow has.

    Raises:
        ValueError: it is not here.
    """
    from PIL import ImageFont

    if face == PILLOW_FACE:
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise ValueError("this Pillow was built without FreeType and cannot draw letters of any size")
        return font
    try:
        file = _file(f"{face}-Bold" if bold else face)
        return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)
    except (OSError, metadata.PackageNotFoundError):
        raise ValueError(f"the face {face} is not here: it comes with matplotlib") from None


def drawable(alphabet: str, names: tuple[str, ...]) -> str:
    """The characters that leave ink in every face, as a glyph of their own; in the alphabet's order, each once."""
    kept = dict.fromkeys(alphabet)
    for name in names:
        for bold in (False, True):
            font = _font(name, SIZES[0], bold=bold)
            missing = _glyph(font, "\uffff")
            kept = dict.fromkeys(each for each in kept if _glyph(font, each) not in (missing, b""))
    return "".join(kept)


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    """Its pixels; none of what is blank."""
    mask = font.getmask(character)
    pixels = bytes(mask)
    return pixels if any(pixels) else b""


# --- the space of pictures -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Space:
    """All pictures that a search may draw.

    Attributes:
        alphabet: the letters of words, in order: the first is the plainest.
        lengths: letters of the shortest and of the longest word.
        faces: the plainest first.
        scenes: pictures of any number of words, for a detector, instead of one.
    """

    alphabet: str
    lengths: tuple[int, int]
    faces: tuple[str, ...]
    scenes: bool

    def draw(self, integer: Callable[[int], int]) -> Picture:
        """A picture from ``integer(n)``, one of 0 .. n - 1. What makes it less plain is as often 0 as not."""

        shortest, longest = self.lengths

        def some(count: int) -> int:
            return 1 + integer(count - 1) if count > 1 and integer(2) else 0

        def word() -> Word:
            length = shortest + integer(longest - shortest + 1)
            text = "".join(self.alphabet[integer(len(self.alphabet))] for _ in range(length))
            face = self.faces[some(len(self.faces))]
            return Word(text, face, **{name: some(count) for name, count in self._of_word().items()})

        words = tuple(word() for _ in range(integer(MOST_WORDS + 1) if self.scenes else 1))
        return Picture(words, **{name: some(count) for name, count in OF_PICTURE.items()})

    def _of_word(self) -> dict[str, int]:
        return {name: count for name, count in OF_WORD.items() if self.scenes or name not in _PLACE}

    @property
    def plain(self) -> Picture:
        """The plainest picture with a word."""
        return Picture((Word(self.alphabet[0] * self.lengths[0], self.faces[0]),))

    def cost(self, picture: Picture) -> tuple[Any, ...]:
        """The smaller, the simpler: fewer words, letters, numbers above 0, then smaller ones and earlier letters."""
        numbers = [getattr(picture, name) for name in OF_PICTURE]
        for word in picture.words:
            numbers += [self._rank(self.faces, word.face), *(getattr(word, name) for name in OF_WORD)]
        letters = [self._rank(self.alphabet, letter) for letter in "".join(picture.texts)]
        return len(picture.words), len(letters), sum(map(bool, numbers)), sum(numbers), letters, numbers

    @staticmethod
    def _rank(known: str | tuple[str, ...], each: str) -> int:
        """Its place; of what was kept from a run with other faces or letters, behind all."""
        return known.index(each) if each in known else len(known)

    def simpler(self, picture: Picture) -> Iterator[Picture]:
        """Pictures that are one step simpler, the largest steps first; each costs less."""
        for index in range(len(picture.words) if self.scenes else 0):
            yield replace(picture, words=picture.words[:index] + picture.words[index + 1 :])
        for index, word in enumerate(picture.words):
            for at in range(len(word.text) if len(word.text) > self.lengths[0] else 0):
                yield self._with(picture, index, text=word.text[:at] + word.text[at + 1 :])
        for to in (lambda value: 0, lambda value: value // 2, lambda value: value - 1):
            for name in OF_PICTURE:
                if value := getattr(picture, name):
                    yield replace(picture, **{name: to(value)})  # type: ignore[arg-type]
            for index, word in enumerate(picture.words):
                for name in OF_WORD:
                    if value := getattr(word, name):
                        yield self._with(picture, index, **{name: to(value)})
                if rank := self._rank(self.faces, word.face):
                    yield self._with(picture, index, face=self.faces[to(rank)])
                for at, letter in enumerate(word.text):
                    if rank := self._rank(self.alphabet, letter):
                        text = word.text[:at] + self.alphabet[to(rank)] + word.text[at + 1 :]
                        yield self._with(picture, index, text=text)

    @staticmethod
    def _with(picture: Picture, index: int, **changes: Any) -> Picture:
        words = list(picture.words)
        words[index] = replace(words[index], **changes)
        return replace(picture, words=tuple(words))


# --- drawing ---------------------------------------------------------------------------------------------------------


def render(picture: Picture, *, scene: bool) -> Image.Image:
    """Draw it, gray: a scene of 320 pixels a side and more, else the word with a narrow margin.

    Raises:
        ValueError: a face is not here.
    """
    import numpy as np
    from PIL import Image, ImageFilter

    ink = _scene(picture) if scene else _crop(picture)
    coverage = np.asarray(ink, np.float32) / 255
    paper, color = _paper(BACKGROUNDS[picture.background], ink.height, ink.width)
    pixels = paper * (1 - coverage) + color * coverage
    pixels = 128 + (pixels - 128) * (1 - picture.contrast / 100)
    image = Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
    if picture.blur:
        image = image.filter(ImageFilter.GaussianBlur(picture.blur / 10))
    if picture.noise:
        # The sum of three uniform draws is near enough to Gaussian. The same for each picture of a size.
        draws = _generator().integers(-picture.noise, picture.noise + 1, size=(3, image.height, image.width))
        image = Image.fromarray((np.asarray(image, np.int64) + draws.sum(axis=0)).clip(0, 255).astype(np.uint8))
    if picture.quality:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=100 - picture.quality)
        image = Image.open(stream)
        image.load()
    return image


def _generator() -> np.random.Generator:
    import numpy as np

    return np.random.Generator(np.random.PCG64(0))


def _crop(picture: Picture) -> Image.Image:
    from PIL import Image

    (word,) = picture.words
    mask = _mask(word)
    ink = Image.new("L", (mask.width + 2 * _MARGIN, mask.height + 2 * _MARGIN))
    ink.paste(mask, (_MARGIN, _MARGIN))
    return ink


def _scene(picture: Picture) -> Image.Image:
    """The words below each other; none hides another."""
    from PIL import Image

    masks = [_mask(word) for word in picture.words]
    tops, bottom = [], _START
    for word, mask in zip(picture.words, masks, strict=True):
        tops.append(bottom + 4 * word.gap)
        bottom = tops[-1] + mask.height + 2 * _START
    width = max(_SCENE, *(mask.width + 2 * _START for mask in masks)) if masks else _SCENE
    ink = Image.new("L", (width, max(_SCENE, bottom)))
    for word, mask, top in zip(picture.words, masks, tops, strict=True):
        ink.paste(mask, (min(_START + 8 * word.indent, width - mask.width - _START), top))
    return ink


def _mask(word: Word) -> Image.Image:
    """The word's ink, 0 .. 255, as wide and as high as it is."""
    from PIL import Image, ImageDraw

    font = _font(word.face, SIZES[word.size], bold=bool(word.weight))
    stroke = word.weight if word.face == PILLOW_FACE else 0  # it has no bold face
    spacing = SPACINGS[word.spacing]
    # A space and its kerning belong together: letters that stand apart are placed one by one.
    parts = list(word.text) if spacing else [word.text]
    boxes = [font.getbbox(part, stroke_width=stroke) for part in parts]
    room = 2 * SIZES[word.size]
    width = int(sum(font.getlength(part) + abs(spacing) for part in parts)) + 2 * room
    mask = Image.new("L", (width, int(max(box[3] for box in boxes)) + 2 * room))
    left = float(room)
    for part in parts:
        ImageDraw.Draw(mask).text((round(left), room), part, fill=255, font=font, stroke_width=stroke)
        left += font.getlength(part) + spacing
    mask = _tight(mask)
    if word.rotation:
        mask = mask.rotate(_alternating(word.rotation), Image.Resampling.BICUBIC, expand=True)
    if word.perspective:
        mask = _tapered(mask, _alternating(word.perspective) / 100)
    return _tight(mask)


def _alternating(number: int) -> int:
    """0, 1, -1, 2, -2, ..."""
    return (number + 1) // 2 * (1 if number % 2 else -1)


def _tight(mask: Image.Image) -> Image.Image:
    box = mask.getbbox()
    return mask if box is None else mask.crop(box)


def _tapered(mask: Image.Image, share: float) -> Image.Image:
    """Seen from the side: the right end smaller by a share of its height, the left one where it is negative."""
    from PIL import Image, ImageOps

    if share < 0:
        return ImageOps.mirror(_tapered(ImageOps.mirror(mask), -share))
    scale = 1 - share
    # (x, y) comes from ((a x) / (g x + 1), (d x + y) / (g x + 1)): the left edge stays, the right one shrinks.
    d, g = -mask.height * share / (2 * mask.width), -share / mask.width
    coefficients = (scale, 0, 0, d, 1, 0, g, 0)
    return mask.transform(mask.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)


def _paper(name: str, height: int, width: int) -> tuple[Pixels, int]:
    """Gray levels of the paper ``[height, width]``, and the ink's."""
    import numpy as np
    from PIL import Image

    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    white = np.full((height, width), 255, np.float32)
    if name == "black":
        return 0 * white, 255
    if name == "gradient":
        return white - np.float32(120 / width) * x, 0
    if name == "stripes":
        return white - 60 * ((x + y) // 6 % 2), 0
    if name == "blotches":
        coarse = _generator().integers(155, 256, size=(height // 16 + 2, width // 16 + 2)).astype(np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32), 0
    return white, 0
