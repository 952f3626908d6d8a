"""Ground truth of a scene: its words and where they stand, from the files that data sets of the field come with."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_conformance.errors import UserError

ILLEGIBLE = "###"
"""ICDAR's transcription of what nobody is asked to read: it is neither to be found nor an error when it is."""
_POINTS = 4
_LONGEST = 10_000
"""Characters of a text."""
_FAR = 1e9
"""No picture has pixels beyond; areas of what is nearer are finite."""
_NUMBER = re.compile(r"\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*")


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
    if is_there(table) and is_there(lines):
        raise UserError(f"{image} has two ground truths, {table.name} and {lines.name}: keep one")
    if is_there(table):
        return _json(table)
    return _icdar(lines) if is_there(lines) else None


def is_there(path: Path) -> bool:
    """Whether there is such a file.

    Raises:
        UserError: what has the name is no file that could be read (see `found_instead`).
    """
    found = found_instead(path)
    if found in ("", "missing"):
        return not found
    raise UserError(f"{path} is {found}: put the file there, or take it away")


def found_instead(path: Path) -> str:
    """What there is instead of a file: ``missing``, ``a folder``, ``a link to nothing``, ``no file`` (a pipe, say)."""
    try:
        if path.is_file():
            return ""
        if path.is_dir():
            return "a folder"
        return "no file" if path.exists() else "a link to nothing" if path.is_symlink() else "missing"
    except (OSError, ValueError):  # no file system has such a name
        return "missing"


def shown(text: str) -> str:
    """The text for a message: in quotes, escaped, and not longer than a line."""
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}..."


def stray(text: str) -> str | None:
    """The first character that belongs in no text or file name: a control character, or half a surrogate pair.

    Terminals obey the former, and no report can hold the latter.
    """
    return next((each for each in text if unicodedata.category(each) in ("Cc", "Cs")), None)


def check_text(text: str, where: str) -> None:
    """Refuse what no image reads.

    Raises:
        UserError: it has a `stray` character other than a tab, or has no end.
    """
    if len(text) > _LONGEST:
        raise UserError(f"{where}: the text {shown(text)} has {len(text)} characters: at most {_LONGEST} are read")
    found = stray(text.replace("\t", " "))
    if found is not None:
        raise UserError(f"{where}: there is a {found!r} in the text {shown(text)}: take it out")


def lines_of(text: str) -> list[str]:
    """The lines of a text that `text_of` has read; ``splitlines`` would cut at form feeds, too."""
    return text.split("\n")


def text_of(path: Path) -> str:
    """The text of a file, its lines ended by line feeds.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _json(path: Path) -> tuple[Word, ...]:
    try:
        document = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): expected {{'words': [...]}}") from None
    words = document.get("words") if isinstance(document, dict) else None
    if not isinstance(words, list):
        raise UserError(f"{path} has no list 'words': expected {{'words': [{{'polygon': [[x, y], ...]}}, ...]}}")
    return tuple(_word(entry, f"{path}, word {number}") for number, entry in enumerate(words, start=1))


def _word(entry: Any, where: str) -> Word:
    polygon = entry.get("polygon") if isinstance(entry, dict) else None
    if not isinstance(polygon, list) or not all(_is_point(point) for point in polygon) or len(polygon) < 3:
        raise UserError(f"{where}: 'polygon' is not a list of at least three points [x, y] in pixels")
    text, ignore = entry.get("text"), entry.get("ignore", False)
    if not isinstance(text, str | None) or not isinstance(ignore, bool):
        raise UserError(f"{where}: 'text' is a string and 'ignore' true or false")
    check_text(text or "", where)
    return Word(tuple((float(x), float(y)) for x, y in polygon), text, ignore or text == ILLEGIBLE)


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in point)
        and all(-_FAR <= value <= _FAR for value in point)
    )


def _icdar(path: Path) -> tuple[Word, ...]:
    words = []
    for number, line in enumerate(lines_of(text_of(path)), start=1):
        if not line.strip():
            continue
        *numbers, text = line.split(",", 2 * _POINTS)
        where = f"{path}, line {number}"
        try:
            values = [float(value) for value in numbers if _NUMBER.fullmatch(value)]
        except ValueError:
            values = []
        if len(values) != 2 * _POINTS or not all(-_FAR <= value <= _FAR for value in values):
            raise UserError(f"{where}: {shown(line)} is not x1,y1,x2,y2,x3,y3,x4,y4,text")
        check_text(text, where)
        polygon = tuple(zip(values[::2], values[1::2], strict=True))
        words.append(Word(polygon, text, text == ILLEGIBLE))
    return tuple(words)
