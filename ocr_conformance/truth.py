"""Ground truth of a scene: its words and where they stand, from the files that data sets of the field come with."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_conformance.errors import UserError

ILLEGIBLE = "###"
"""ICDAR's transcription of what nobody is asked to read: it is neither to be found nor an error when it is."""
_POINTS = 4


@dataclass(frozen=True)
class Word:
    """A word of a scene.

    Attributes:
        polygon: points ``(x, y)`` in pixels of the image as its EXIF orientation turns it, at least three.
        text: what it reads; ``None`` where that is not known.
        ignore: it does not count.
    """

    polygon: tuple[tuple[float, float], ...]
    text: str | None
    ignore: bool = False


def of_image(image: Path) -> tuple[Word, ...] | None:
    """The words of an image, or ``None`` where no file beside it tells.

    ``STEM.json``: ``{"words": [{"polygon": [[x, y], ...], "text": "...", "ignore": false}, ...]}``; the last two
    may be missing.
    ``gt_STEM.txt`` as ICDAR 2015 has them (https://rrc.cvc.uab.es/?ch=4): ``x1,y1,x2,y2,x3,y3,x4,y4,text`` a line, with
    ``###`` for what is to be ignored; a byte order mark and commas in the text are no trouble.

    Raises:
        UserError: there are both, or one that says something else.
    """
    table, lines = image.with_suffix(".json"), image.with_name(f"gt_{image.stem}.txt")
    if table.is_file() and lines.is_file():
        raise UserError(f"{image} has two ground truths, {table.name} and {lines.name}: keep one")
    if table.is_file():
        return _json(table)
    return _icdar(lines) if lines.is_file() else None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _json(path: Path) -> tuple[Word, ...]:
    try:
        document = json.loads(_text_of(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): expected {{'words': [...]}}") from None
    words = document.get("words") if isinstance(document, dict) else None
    if not isinstance(words, list):
        raise UserError(f"{path} has no list 'words': expected {{'words': [{{'polygon': [[x, y], ...]}}, ...]}}")
    return tuple(_word(entry, f"{path}, word {number}") for number, entry in enumerate(words, start=1))


def _word(entry: Any, where: str) -> Word:
    polygon = entry.get("polygon") if isinstance(entry, dict) else None
    if not isinstance(polygon, list) or not all(_is_point(point) for point in polygon) or len(polygon) < 3:
        raise UserError(f"{where}: 'polygon' is not a list of at least three points [x, y]")
    text, ignore = entry.get("text"), entry.get("ignore", False)
    if not isinstance(text, str | None) or not isinstance(ignore, bool):
        raise UserError(f"{where}: 'text' is a string and 'ignore' true or false")
    return Word(tuple((float(x), float(y)) for x, y in polygon), text, ignore or text == ILLEGIBLE)


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in point)
        and all(math.isfinite(value) for value in point)
    )


def _icdar(path: Path) -> tuple[Word, ...]:
    words = []
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        *numbers, text = line.split(",", 2 * _POINTS)
        try:
            values = [float(value) for value in numbers]
        except ValueError:
            values = []
        if len(values) != 2 * _POINTS or not all(map(math.isfinite, values)):
            raise UserError(f"{path}, line {number}: {line!r} is not x1,y1,x2,y2,x3,y3,x4,y4,text")
        polygon = tuple(zip(values[::2], values[1::2], strict=True))
        words.append(Word(polygon, text, text == ILLEGIBLE))
    return tuple(words)
