"""Words drawn for training keras-ocr's recognizer: many fonts, many grounds, and what a camera does to them.

Every picture is a pure function of the seed and its number. Nothing of it is a photograph of text; the fonts and the
textures are listed with their licences in ``fonts.tsv`` and `TEXTURES`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import string
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Gray = npt.NDArray[np.float32]
    Rng = np.random.Generator

HEIGHT, WIDTH = 31, 200
ALPHABET = string.digits + string.ascii_lowercase
FONT_SIZE = 40
"""Pixels to the em at which words are drawn, before the camera."""
ODDS = {"sans-serif": 1.0, "serif": 1.0, "monospace": 1.0, "display": 0.3, "handwriting": 0.15}
"""How often a face of a category is drawn, beside the others: signs are rarely written by hand."""
CLEAR = "abcdefghjkmnpqrstuvwxyz23456789"
"""Characters that random strings are made of: whether 0 or o, 1, i or l was meant, only a word tells."""
TEXTURES = (
    # Files of scikit-image's ``data`` folder; by the docstrings of skimage.data all CC0 or public domain.
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
)
FONTS = Path(__file__).resolve().with_name("fonts.tsv")
_REGISTRY = "https://registry.npmjs.org/@fontsource/{name}/-/{name}-{version}.tgz"


@dataclass(frozen=True)
class Sample:
    """One drawn word.

    Attributes:
        image: ``[31, width]`` uint8, the package's letterbox without its black rest on the right.
        text: what is to be read, of ``0-9a-z``.
        centres: the middle of each character, in pixels of ``image``.
    """

    image: npt.NDArray[np.uint8]
    text: str
    centres: list[float]


def generator(*name: object) -> Rng:
    """The same stream for the same name on every machine (PCG64)."""
    import numpy as np

    digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def fetch_fonts(folder: Path, table: Path = FONTS, registry: str = _REGISTRY) -> dict[Path, float]:
    """The font files of ``fonts.tsv``, fetched from the npm registry into ``folder`` where they are not there yet.

    Each comes with how often it is drawn (see `ODDS`).

    Each package is held against its sha512; of its files only the named styles are unpacked, beside its LICENSE.

    Raises:
        OSError, ValueError: a package cannot be fetched, or is not the one that the table names.
    """
    from concurrent.futures import ThreadPoolExecutor

    rows = [line.split("\t") for line in table.read_text("utf-8").splitlines() if not line.startswith("#")]
    with ThreadPoolExecutor(8) as pool:
        fetched = pool.map(lambda row: _fetch_font(folder, registry, row), rows)
        return {path: ODDS[row[3]] for row, paths in zip(rows, fetched, strict=True) for path in paths}


def _fetch_font(folder: Path, registry: str, row: list[str]) -> list[Path]:
    import pooch

    name, version, _, _, styles, sha512 = row
    own = folder / f"{name}-{version}"
    paths = [own / f"{name}-latin-{style}.woff" for style in styles.split()]
    if all(path.is_file() for path in paths):
        return paths
    expected = "sha512:" + base64.b64decode(sha512).hex()
    archive = pooch.retrieve(
        registry.format(name=name, version=version), expected, path=folder, fname=f"{own.name}.tgz"
    )
    own.mkdir(exist_ok=True)
    wanted = {path.name: path for path in paths} | {"LICENSE": own / "LICENSE"}
    with tarfile.open(archive) as files:
        for member in files:
            target = wanted.get(Path(member.name).name)
            stream = files.extractfile(member) if target else None
            if target and stream:
                part = target.with_suffix(".part")
                part.write_bytes(stream.read())
                part.replace(target)
    Path(archive).unlink()
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"{name} {version} has no {missing[0]}, which {FONTS} names")
    return paths


class Renderer:
    """Draws words.

    Args:
        words: English words, lower case; what is not of ``a-z`` is left out.
        fonts: font files, and how often each is drawn beside the others.
        seed: of all pictures.
    """

    def __init__(self, words: Sequence[str], fonts: Mapping[Path, float], seed: int) -> None:
        usable = sorted({word for word in words if 2 <= len(word) <= 14 and set(word) <= set(string.ascii_lowercase)})
        self._words: dict[bool, dict[int, list[str]]] = {False: {}, True: {}}  # by "held out", by length
        for word in usable:
            self._words[is_held_out(word)].setdefault(len(word), []).append(word)
        if not self._words[False]:
            raise ValueError("no word of 2 to 14 letters a-z among the words")
        self._fonts = sorted(fonts)
        self._odds = [fonts[path] / sum(fonts.values()) for path in self._fonts]
        self._seed = seed

    def draw(self, *number: object, held_out: bool = False) -> Sample:
        """The picture of one number; ``held_out`` ones have other words (by their hash) than those for training.

        Raises:
            ValueError: none of the words is held out.
        """
        if not self._words[held_out]:
            raise ValueError("none of the words is held out for validation (one in twenty is): give more words")
        rng = generator("keras-ocr words", self._seed, held_out, *number)
        while True:
            shown = self._text(rng, held_out)
            text = "".join(character for character in shown.lower() if character in ALPHABET)
            sample = draw_word(shown, text, self._fonts[rng.choice(len(self._fonts), p=self._odds)], rng)
            if sample is not None:
                return sample

    def _text(self, rng: Rng, held_out: bool) -> str:
        kind = rng.random()
        if kind < 0.8:
            # Words on signs are shorter than those of a dictionary.
            words = self._words[held_out]
            lengths = sorted(words)
            odds = [1.0 / (1 + abs(length - 5) ** 1.6 / 6) for length in lengths]
            length = int(rng.choice(lengths, p=[odd / sum(odds) for odd in odds]))
            word = words[length][rng.integers(len(words[length]))]
            shown = (word, word.upper(), word.capitalize())[int(rng.choice(3, p=(0.36, 0.36, 0.28)))]
            if rng.random() < 0.04:
                shown += "'s" if rng.random() < 0.5 else f"{rng.integers(100)}"
        elif kind < 0.94:
            digits = "".join(str(rng.integers(10)) for _ in range(rng.integers(2, 7)))
            forms = (digits, digits, digits, f"{digits[:2]}:{digits[2:]}", f"{digits[:-2]}.{digits[-2:]}")
            shown = forms[rng.integers(len(forms))] + ("", "", "", "", "", "%", "th", "km")[rng.integers(8)]
        else:
            pool = (CLEAR, CLEAR.upper())[rng.integers(2)]
            shown = "".join(pool[rng.integers(len(pool))] for _ in range(rng.integers(1, 8)))
        if rng.random() < 0.08:
            mark = ".,:;!?-&)"[rng.integers(9)]
            shown = shown + mark if rng.random() < 0.8 else mark + shown
        return shown if any(character.lower() in ALPHABET for character in shown) else self._text(rng, held_out)


def is_held_out(word: str) -> bool:
    """One word in twenty, by its hash, is never drawn for training."""
    return hashlib.sha256(word.encode()).digest()[0] < 13


def draw_word(shown: str, text: str, font: Path, rng: Rng) -> Sample | None:
    """Draw ``shown``, put it on a ground, photograph it; None where the characters would be under 4 pixels wide."""
    import cv2
    import numpy as np

    mask, middles = _ink(shown, font, rng)
    if mask is None:
        return None
    mask, points = _geometry(mask, middles, rng)
    height, width = mask.shape
    image = _ground(height, width, rng)
    image = _paint(image, mask, rng)
    scale = min(WIDTH / width, HEIGHT / height)
    fitted = (max(1, int(width * scale)), max(1, int(height * scale)))
    centres = [float(x * scale) for x, character in zip(points, shown.lower(), strict=True) if character in ALPHABET]
    # CTC has 48 frames of 4 pixels, and wants a blank between repeats.
    repeats = sum(a == b for a, b in itertools.pairwise(text))
    if fitted[0] < 4 * (len(text) + repeats) + 4 or fitted[1] < 9:
        return None
    if rng.random() < 0.3:
        # A distant word has few pixels of its own.
        rows = float(rng.uniform(17, 31)) / HEIGHT
        small = (max(8, int(fitted[0] * rows)), max(8, int(fitted[1] * rows)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    image = _camera(image, rng)
    method = cv2.INTER_AREA if image.shape[0] > 2 * fitted[1] and rng.random() < 0.5 else cv2.INTER_LINEAR
    pixels = np.zeros((HEIGHT, fitted[0]), np.uint8)
    pixels[: fitted[1]] = cv2.resize(np.clip(image, 0, 255).astype(np.uint8), fitted, interpolation=method)
    return Sample(pixels, text, centres)


@functools.lru_cache(maxsize=2048)
def _font(path: Path) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(path), FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


def _ink(shown: str, path: Path, rng: Rng) -> tuple[Gray | None, list[float]]:
    """Coverage 0 to 1 of the characters with room around them, and the middle of each in pixels."""
    import numpy as np
    from PIL import Image, ImageDraw

    font = _font(path)
    spacing = float(rng.choice((0.0, rng.uniform(-0.04, 0.0), rng.uniform(0.0, 0.3)), p=(0.5, 0.2, 0.3))) * FONT_SIZE
    stroke = int(rng.integers(1, 3)) if rng.random() < 0.06 else 0
    room = FONT_SIZE
    at, middles = float(room), []
    for index, character in enumerate(shown):
        start = font.getlength(shown[:index]) + index * spacing
        middles.append(room + start + font.getlength(character) / 2)
        at = room + start + font.getlength(character)
    image = Image.new("L", (int(at) + room, 3 * FONT_SIZE))
    pen = ImageDraw.Draw(image)
    if spacing:
        for character, middle in zip(shown, middles, strict=True):
            start = middle - font.getlength(character) / 2
            pen.text((start, room // 2), character, fill=255, font=font, stroke_width=stroke)
    else:
        pen.text((room, room // 2), shown, fill=255, font=font, stroke_width=stroke)
    box = image.getbbox()
    if box is None or box[2] - box[0] < 4 or box[3] - box[1] < 4:
        return None, []
    left, top, right, bottom = box
    # A crop shows more or less of what is around the word.
    tall = bottom - top
    loose = 0.35 if rng.random() < 0.2 else 0.15
    pads = [int(tall * rng.uniform(-0.02, loose)) for _ in range(2)]
    pads += [int(tall * rng.uniform(0, 2 * loose)) for _ in range(2)]
    pixels = np.asarray(image, np.float32)[top:bottom, left:right] / 255
    inner = pixels[max(0, -pads[0]) : tall - max(0, -pads[1])]
    padded: Gray = np.pad(inner, ((max(0, pads[0]), max(0, pads[1])), (pads[2], pads[3]))).astype(np.float32)
    return padded, [middle - left + pads[2] for middle in middles]


def _geometry(mask: Gray, middles: list[float], rng: Rng) -> tuple[Gray, list[float]]:
    """Stretch, slant, turn, bend and put into perspective; the whole word stays in sight."""
    import cv2
    import numpy as np

    height, width = mask.shape
    middle = height / 2
    points = np.array([[x, middle] for x in middles], np.float32)
    if rng.random() < 0.5:
        stretch = float(rng.uniform(0.7, 1.35))
        width = max(4, int(width * stretch))
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA if stretch < 1 else cv2.INTER_LINEAR)
        points[:, 0] *= stretch
    if rng.random() < 0.15:
        # Bent along a parabola, up or down.
        bow = float(rng.uniform(-0.5, 0.5)) * min(height, 0.35 * width)
        grow = int(abs(bow)) + 1
        y, x = np.mgrid[0 : height + grow, 0:width].astype(np.float32)
        along = 2 * x / width - 1
        shift = bow * along**2 - min(bow, 0)
        mask = cv2.remap(mask, x, y - shift, cv2.INTER_LINEAR)
        points[:, 1] += bow * (2 * points[:, 0] / width - 1) ** 2 - min(bow, 0)
        height += grow
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners.copy()
    if rng.random() < 0.35:
        moved[:, 0] += (height / 2 - moved[:, 1]) * float(rng.uniform(-0.35, 0.35))
    if rng.random() < 0.6:
        angle = float(rng.normal(0, 3.0 if rng.random() < 0.8 else 8.0)) * np.pi / 180
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        moved = (moved - (width / 2, height / 2)) @ turn
    if rng.random() < 0.4:
        moved = moved + rng.uniform(-0.12, 0.12, (4, 2)) * (min(width, 2 * height), height)
    moved = (moved - moved.min(axis=0)).astype(np.float32)
    size = np.maximum(np.ceil(moved.max(axis=0)), 4).astype(int)
    if np.allclose(moved, corners):
        return mask, [float(x) for x in points[:, 0]]
    matrix = cv2.getPerspectiveTransform(corners, moved)
    mask = cv2.warpPerspective(mask, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR)
    points = cv2.perspectiveTransform(points[None], matrix)[0]
    return mask, [float(x) for x in points[:, 0]]


@functools.lru_cache(maxsize=1)
def _textures() -> list[Gray]:
    import cv2
    import numpy as np
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [np.asarray(cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE), np.float32) for name in TEXTURES]


def _ground(height: int, width: int, rng: Rng) -> Gray:
    """What the word stands on, about 0 to 1 in value with a mean that `_paint` moves."""
    import cv2
    import numpy as np

    kind = rng.random()
    if kind < 0.45:
        return np.zeros((height, width), np.float32)
    if kind < 0.65:
        corners = rng.uniform(-0.5, 0.5, (2, 2 if rng.random() < 0.5 else 4)).astype(np.float32)
        slope: Gray = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
        return slope
    if kind < 0.85:
        textures = _textures()
        texture = textures[rng.integers(len(textures))]
        zoom = float(rng.uniform(0.5, 3.0))
        rows, columns = (
            min(limit, max(4, int(side / zoom))) for side, limit in zip((height, width), texture.shape, strict=True)
        )
        top, left = rng.integers(texture.shape[0] - rows + 1), rng.integers(texture.shape[1] - columns + 1)
        patch: Gray = cv2.resize(texture[top : top + rows, left : left + columns], (width, height))
        return np.asarray((patch - patch.mean()) / 128, np.float32)
    if kind < 0.93:
        cells = (max(2, height // int(rng.integers(2, 12))), max(2, width // int(rng.integers(2, 24))))
        coarse = rng.normal(0, 0.4, cells).astype(np.float32)
        clouds: Gray = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        return clouds
    # Stripes and edges: the rim of a sign, a shelf, a window.
    ground = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(1, 5)):
        start, end = (
            (int(rng.integers(-width // 4, width + width // 4)), int(rng.integers(-height // 4, height + height // 4)))
            for _ in range(2)
        )
        cv2.line(ground, start, end, float(rng.uniform(-1, 1)), int(rng.integers(1, max(2, height // 4))))
    return ground


def _paint(ground: Gray, mask: Gray, rng: Rng) -> Gray:
    """Ink on the ground, 0 to 255: contrast, shadow, outline, uneven ink, rims."""
    import cv2
    import numpy as np

    height, width = mask.shape
    contrast = float(rng.uniform(40, 90) if rng.random() < 0.08 else rng.uniform(80, 230))
    paper = float(rng.uniform(0, 255 - contrast))
    ink = paper + contrast
    if rng.random() < 0.6:
        paper, ink = ink, paper
    busy = contrast * float(rng.uniform(0.1, 0.45))
    image = paper + busy * ground
    if rng.random() < 0.12:
        shift = np.array([[1, 0, rng.integers(-4, 5)], [0, 1, rng.integers(-4, 5)]], np.float32)
        shadow = cv2.GaussianBlur(cv2.warpAffine(mask, shift, (width, height)), (0, 0), float(rng.uniform(0.3, 3)))
        image += shadow * float(rng.uniform(-0.6, 0.2)) * contrast * np.sign(paper - ink)
    if rng.random() < 0.1:
        size = 2 * int(rng.integers(1, 3)) + 1
        rim = cv2.dilate(mask, np.ones((size, size), np.uint8))
        edge = float(np.clip(paper + rng.uniform(-1, 1) * contrast, 0, 255))
        if rng.random() < 0.06:
            ink = paper  # only the outline is drawn
            edge = paper + contrast if paper < 128 else paper - contrast
        image = image * (1 - rim) + edge * rim
    filling: Any = ink
    if rng.random() < 0.15:
        slope = np.linspace(-0.25, 0.25, height, dtype=np.float32)[:, None] * contrast
        filling = ink + (slope if rng.random() < 0.5 else -slope)
    elif rng.random() < 0.1:
        filling = ink + cv2.GaussianBlur(rng.normal(0, 1, mask.shape).astype(np.float32), (0, 0), 2) * 0.8 * contrast
    image = image * (1 - mask) + filling * mask
    if rng.random() < 0.06:
        cv2.rectangle(image, (1, 1), (width - 2, height - 2), ink, int(rng.integers(1, 4)))
    if rng.random() < 0.05:
        row = int(height * rng.uniform(0.85, 1.0))
        cv2.line(image, (0, row), (width, row), ink, int(rng.integers(1, 4)))
    return np.asarray(image, np.float32)


def _camera(painted: Gray, rng: Rng) -> Gray:
    """Blur, light, noise and JPEG."""
    import cv2
    import numpy as np

    image: Any = painted
    tall = image.shape[0]
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.2, 0.035 * tall + 0.25)))
    if rng.random() < 0.08:
        length = int(rng.integers(2, max(3, tall // 7)))
        kernel = np.zeros((length, length), np.float32)
        if rng.random() < 0.5:
            kernel[length // 2] = 1 / length
        else:
            kernel[:] = np.eye(length) / length
        image = cv2.filter2D(image, -1, kernel)
    if rng.random() < 0.25:
        light = cv2.resize(rng.uniform(0.55, 1.25, (2, 3)).astype(np.float32), image.shape[::-1])
        image = image * light
    if rng.random() < 0.2:
        image = 255 * (np.clip(image, 0, 255) / 255) ** float(rng.uniform(0.6, 1.6))
    if rng.random() < 0.35:
        image = image + rng.normal(0, float(rng.uniform(1, 12)), image.shape)
    if rng.random() < 0.35:
        quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(15, 90))]
        _, data = cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8), quality)
        decoded: Any = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        image = decoded.astype(np.float32)
    return np.asarray(image, np.float32)
