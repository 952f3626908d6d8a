"""Folders of labelled images and of scenes: what a run reads, and which of them it takes."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ocr_conformance import resources, truth
from ocr_conformance.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""File names that count as images."""

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""What a file of such a name may hold, whichever it is called.

Pillow knows forty more, among them PostScript, for which it starts Ghostscript: no image needs them.
"""

LARGEST = 1 << 30
"""Bytes of an image file; what Pillow takes for no bomb has less without any compression."""

LABELS = "labels.tsv"
"""``file<TAB>text``, one image a line, UTF-8, no header."""

MANIFEST = "manifest.json"
"""What every built-in set has, made by ``fixtures/render.py``."""

Role = Literal["evaluation", "calibration"]
Origin = Literal["rendered", "real", "user"]


@dataclass(frozen=True)
class Sample:
    """One image: its file, its ground truth and the hash of its bytes.

    Attributes:
        label: what a word image reads; ``None``: not known.
        words: the words of a scene; ``None``: not known.
    """

    path: Path
    label: str | None
    sha256: str
    words: tuple[truth.Word, ...] | None = None


@dataclass(frozen=True)
class ImageSet:
    """Images that a run feeds, in the order of their file names.

    Attributes:
        name: what a header calls it: a fixture's name, or the folder as the user gave it.
        origin: ``rendered`` (made by a script), ``real``, or ``user`` (a folder the user named).
        sha256: over file names, ground truth and bytes of the samples: two equal sets have the same.
    """

    name: str
    origin: Origin
    folder: Path
    samples: tuple[Sample, ...]
    sha256: str

    @property
    def labels(self) -> tuple[str | None, ...]:
        """Ground truth per sample."""
        return tuple(sample.label for sample in self.samples)

    @property
    def words(self) -> tuple[tuple[truth.Word, ...] | None, ...]:
        """Words per sample, of scenes."""
        return tuple(sample.words for sample in self.samples)

    @property
    def files(self) -> tuple[str, ...]:
        """File name per sample, relative to the folder."""
        return tuple(sample.path.relative_to(self.folder).as_posix() for sample in self.samples)


def read(
    folder: str | Path,
    *,
    count: int | None = None,
    seed: str = "",
    name_alphabet: str = "",
    scenes: bool = False,
    role: Role = "evaluation",
    origin: Origin = "user",
    name: str = "",
) -> ImageSet:
    """Read a folder of images and take ``count`` of them.

    Labels come from ``labels.tsv`` where the folder has one (an image it does not name has no label). Without it, and
    with ``name_alphabet``, the file's stem is the label where all its characters are in that alphabet (captchas).
    Of scenes the ground truth is what `truth.of_image` finds beside each chosen image, and there are no labels.

    Args:
        count: how many to take at most; ``None`` takes all.
        seed: usually the model's name. The choice depends on it and on the file names only, on every machine.
        scenes: the images are scenes, not words.
        role: for messages.
        name: what headers call the set; by default the folder as given.

    Raises:
        UserError: no such folder, no image in it, a bad ``labels.tsv``, ``count`` below 1, a chosen image that does
            not decode, or whose ground truth is not what it should be.
    """
    option = "--ocr-images" if role == "evaluation" else "--ocr-calibration"
    root = Path(folder)
    if count is not None and count < 1:
        raise UserError(f"--ocr-samples is {count}: at least one {role} image is needed, give a number from 1 up")
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise UserError(f"the {role} image folder {root} {found}: {option} expects a folder of images")
    labels = dict.fromkeys(_images(root)) if scenes else _labels(root, name_alphabet)
    if not labels:
        kinds = " ".join(sorted(SUFFIXES))
        raise UserError(f"no {role} images in {root}: {option} expects a folder with at least one of {kinds}")
    chosen = choose(labels, count, seed)
    samples = tuple(_sample(root, file, labels[file], scenes) for file in chosen)
    return ImageSet(name or str(folder), origin, root, samples, _digest(chosen, samples))


def of_files(paths: Sequence[Path]) -> ImageSet:
    """The files as they are, in this order, without labels.

    Raises:
        UserError: one is no file, or does not decode.
    """
    for path in paths:
        if not path.exists():
            raise UserError(f"the image {path} does not exist")
        if path.is_dir():
            raise UserError(f"the image {path} is a folder: name the files in it, e.g. {path}/*.png")
    samples = tuple(_sample(Path(), str(path), None, False) for path in paths)
    return ImageSet("files", "user", Path(), samples, _digest(map(str, paths), samples))


def fixture(name: str, *, count: int | None = None, seed: str = "", scenes: bool = False) -> ImageSet:
    """The built-in set ``fixtures/<name>`` (rendered; of words with ``labels.tsv``, else of scenes).

    Raises:
        UserError: there is no such fixture, or see `read`.
    """
    root = resources.folder("fixtures")
    # A detector may be shown a set of words: pictures whose words are not known.
    needed = MANIFEST if scenes else LABELS
    if not (root / name / needed).is_file():
        known = ", ".join(sorted(path.parent.name for path in root.glob(f"*/{needed}")))
        raise UserError(f"there is no built-in image set {name!r} in {root}: choose one of {known}")
    role: Role = "calibration" if name.endswith("-calibration") else "evaluation"
    return read(root / name, count=count, seed=seed, scenes=scenes, role=role, origin="rendered", name=name)


def choose(files: Iterable[str], count: int | None, seed: str) -> tuple[str, ...]:
    """``count`` of the files (all, where there are fewer), in the order of their names.

    The ``count`` smallest values of sha256(seed, file name) win: no generator whose stream could change between
    versions, and one more file in the folder exchanges at most one of those chosen.
    """
    ranked = sorted(files, key=lambda file: hashlib.sha256(_bytes(f"{seed}\0{file}")).digest())
    return tuple(sorted(ranked[:count]))


def _images(root: Path) -> list[str]:
    """All that is called an image; what none of them is, a folder say, is told when it is chosen."""
    try:
        return [path.name for path in root.iterdir() if path.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise UserError(f"cannot read the image folder {root}: {error.strerror}") from None


def _labels(root: Path, name_alphabet: str) -> dict[str, str | None]:
    """Label (or ``None``) per image file below ``root``."""
    if truth.is_there(root / LABELS):
        return {**dict.fromkeys(_images(root)), **_read_labels(root)}
    alphabet = set(name_alphabet)
    stems = {name: Path(name).stem for name in _images(root)}
    return {name: stem if set(stem) <= alphabet else None for name, stem in stems.items()}


def _read_labels(root: Path) -> dict[str, str]:
    table = root / LABELS
    labels: dict[str, str] = {}
    for number, line in enumerate(truth.lines_of(truth.text_of(table)), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        where = f"{table}, line {number}"
        if not (name and tab and text) or "\t" in text:
            raise UserError(f"{where}: {truth.shown(line)} is not 'file<TAB>text': write one image and its text a line")
        if (found := truth.stray(name)) is not None:
            raise UserError(f"{where}: there is a {found!r} in the name {truth.shown(name)}: save the table as UTF-8")
        truth.check_text(text, where)
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{where}: {name} is outside of {root}: name files relative to the folder")
        # ./a.png is a.png; as a listing of the folder has it, also in a locale without Unicode.
        file = Path(os.fsdecode(name.encode())).as_posix()
        if file in labels:
            raise UserError(f"{where}: {file} is named twice: keep one of the lines")
        if instead := truth.found_instead(root / file):
            said = f"there is no image {truth.shown(name)}" if instead == "missing" else f"{name} is {instead}"
            raise UserError(f"{where}: {said} in {root}: add the file or delete the line")
        labels[file] = text
    return labels


def _sample(root: Path, file: str, label: str | None, scene: bool) -> Sample:
    path = root / file
    if truth.stray(_bytes(file).decode(errors="surrogateescape")) is not None:
        raise UserError(f"the image {str(path)!r} has a name that no report can show: give it another one")
    if found := truth.found_instead(path):  # a pipe would be waited for
        raise UserError(f"the image {path} is {found}: replace it or remove it")
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"the image {path} is larger than {LARGEST >> 20} MiB: replace it or remove it")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the image {path}: {error.strerror}") from None
    _decode(path)
    return Sample(path, label, hashlib.sha256(data).hexdigest(), truth.of_image(path) if scene else None)


def _decode(path: Path) -> None:
    """Decode once: better one sentence now than a conversion that dies on its last image."""
    # The last two are plugins that Pillow does not load where it is told the formats.
    from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: F401

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of the metadata, an error under a strict filter
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                image.load()
                reason = _unread(image)
    except UnidentifiedImageError:
        reason = "it is no BMP, JPEG, PNG, TIFF or WebP"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error)
    except Exception as error:  # each of Pillow's decoders has its own, down to struct.error and KeyError
        reason = str(error).splitlines()[0].replace(str(path), path.name) if str(error) else type(error).__name__
    if reason:
        raise UserError(f"the image {path} does not decode ({reason}): replace it or remove it")


def _unread(image: Image) -> str:
    """Why an image that decodes has no meaning in gray levels or colors of 8 bits; libraries disagree on such ones."""
    if image.mode in ("F", "LAB") or (image.mode == "I" and image.format == "TIFF"):
        kind = {"F": "floats", "LAB": "of the Lab color space", "I": "32-bit numbers"}[image.mode]
        return f"its pixels are {kind}, not gray, RGB, CMYK or a palette of 8 or 16 bits"
    return ""


def _digest(files: Iterable[str], samples: Iterable[Sample]) -> str:
    lines = []
    for file, sample in zip(files, samples, strict=True):
        line = f"{file}\t{sample.label!r}\t{sample.sha256}"
        if sample.words is not None:
            line += "\t" + json.dumps([(word.polygon, word.text, word.ignore) for word in sample.words])
        lines.append(f"{line}\n")
    return hashlib.sha256(_bytes("".join(lines))).hexdigest()


def _bytes(text: str) -> bytes:
    """UTF-8; the bytes of a file's name as they are, whatever the locale makes of them."""
    return text.encode("utf-8", "surrogateescape")
