"""Pictures of a scene, ``--ocr-pictures``: left what the source finds in it, right what the artifact finds.

Pillow and numpy are imported where they are used.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.scenes import read_rgb
from ocr_conformance.errors import UserError
from ocr_conformance.whole import parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image, ImageDraw, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]

LONGEST = 1280
"""Pixels of the longer side of a scene as drawn, at most ..."""
SHORTEST = 320
"""... and at least."""
_COLUMN = 384  # what the legend needs; a narrower scene is padded
_HEIGHT = 64  # what a label needs around a scene of one row
_GAP = 8  # between the panels
_WIDE = 800  # from this width on, text and lines are larger: the picture will be looked at scaled down

_PAPER: Color = (255, 255, 255)
_INK: Color = (0, 0, 0)
_PADDING: Color = (190, 190, 190)


@dataclass(frozen=True)
class Kind:
    """How a box is drawn. Colour is never the only mark: kinds differ in letter, width and line as well.

    Attributes:
        dashes: pixels on and off; ``None`` is a solid line.
        ink: of text on a ground of ``color``.
    """

    name: str
    letter: str
    color: Color
    ink: Color
    width: int
    dashes: tuple[int, int] | None = None


SAME = Kind("same", "", (0, 200, 0), _INK, 2)
CHANGED = Kind("read otherwise", "C", (200, 0, 200), _PAPER, 4, (4, 4))
LOST = Kind("lost", "L", (225, 0, 0), _PAPER, 4, (12, 6))
INVENTED = Kind("invented", "I", (255, 140, 0), _INK, 4)


@dataclass(frozen=True)
class _Box:
    points: Sequence[Sequence[float]]
    kind: Kind
    text: str | None  # of a pipeline's word


def write(root: Path, case: str, image: Path, name: str, data: Mapping[str, Any]) -> Path:
    """Write the picture of one scene of one case; the file appears whole.

    The header's text stands in the PNG file as its ``Description`` too.

    Args:
        root: the folder of ``--ocr-pictures``.
        name: of the image, relative to its folder. The picture has it with ``.png`` after it, so that ``a.jpg`` and
            ``a.png`` are two pictures.
        data: of this scene, from the ``images`` of the result of the check ``boxes`` or ``pipeline``.

    Returns:
        The file.

    Raises:
        UserError: the file cannot be written, or the image not be read.
    """
    from PIL.PngImagePlugin import PngInfo

    target = root / case.replace(":", ".") / f"{name}.png"
    try:
        rgb = read_rgb(str(image))
    except ValueError as error:
        raise UserError(f"--ocr-pictures {root}: {error}") from error
    picture, description = _draw(rgb, case, name, data)
    info = PngInfo()
    info.add_text("Description", description)
    content = io.BytesIO()
    picture.save(content, "PNG", pnginfo=info)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with parts(target) as (part,):
            part.write_bytes(content.getvalue())
    except OSError as error:
        raise UserError(f"--ocr-pictures {root}: cannot write {target.name} ({error.strerror})") from error
    return target


def _draw(rgb: npt.NDArray[np.uint8], case: str, name: str, data: Mapping[str, Any]) -> tuple[Image.Image, str]:
    """The picture, and what its header says."""
    from PIL import Image, ImageDraw

    scene = _scaled(rgb)
    scale = (scene.width / rgb.shape[1], scene.height / rgb.shape[0])
    size = (max(scene.width, _COLUMN), max(scene.height, _HEIGHT))
    unit = 1.5 if size[0] > _WIDE else 1.0
    font, line = _font(round(14 * unit)), round(20 * unit)
    words = "changed" in data
    sides = _boxes(data)
    panels, headers = [], []
    says: list[str] = []
    for boxes, title in zip(sides, _titles(case, name, data), strict=True):
        panel = Image.new("RGB", size, _PADDING)
        panel.paste(scene)
        unseen = _draw_boxes(panel, boxes, scale, font, unit)
        if not boxes:
            _label(ImageDraw.Draw(panel), f"no {_noun(0, words)}", (8, 8), font, (_PAPER, _INK))
        lines = (title[0], title[1] + (f" ({unseen} outside of the picture)" if unseen else ""))
        panels.append(panel)
        headers.append([part for text in lines for part in _wrap(text, font, size[0] - 16)])
        says += lines
    rows = max(map(len, headers)) + 1  # the legend
    top = rows * line + 8
    picture = Image.new("RGB", (2 * size[0] + _GAP, top + size[1]), _PAPER)
    pen = ImageDraw.Draw(picture)
    middle = (CHANGED,) if words else ()
    for left, panel, header, last in zip((0, size[0] + _GAP), panels, headers, (LOST, INVENTED), strict=True):
        picture.paste(panel, (left, top))
        for row, text in enumerate(header):
            pen.text((left + 8, 4 + row * line), text, _INK, font)
        _legend(pen, (SAME, *middle, last), (left + 8, 4 + (rows - 1) * line), font, unit)
    return picture, "\n".join(says)


def _titles(case: str, name: str, data: Mapping[str, Any]) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two lines above each panel."""
    words = "changed" in data
    source, artifact = (f"{side}: {_count(len(data[side]), words)}" for side in ("source", "artifact"))
    changes = f", {len(data['lost'])} lost, {len(data['invented'])} invented"
    if words:
        changes += f", {len(data['changed'])} read otherwise"
    return (_ascii(name), source), (_ascii(case), artifact + changes)


def _noun(count: int, words: bool) -> str:
    return ("word" if count == 1 else "words") if words else ("box" if count == 1 else "boxes")


def _count(count: int, words: bool) -> str:
    return f"{count or 'no'} {_noun(count, words)}"


def _boxes(data: Mapping[str, Any]) -> tuple[list[_Box], list[_Box]]:
    """What to draw on each side, the ordinary first: what matters lies on top."""
    sides: list[list[_Box]] = []
    for side, (key, alone) in enumerate((("source", ("lost", LOST)), ("artifact", ("invented", INVENTED)))):
        kinds = {pair[side]: CHANGED for pair in data.get("changed", ())}
        kinds.update(dict.fromkeys(data[alone[0]], alone[1]))
        boxes = []
        for index, box in enumerate(data[key]):
            polygon, text = (box["polygon"], box["text"]) if isinstance(box, Mapping) else (box, None)
            boxes.append(_Box(polygon, kinds.get(index, SAME), text))
        sides.append(sorted(boxes, key=lambda box: (SAME, CHANGED, alone[1]).index(box.kind)))
    return sides[0], sides[1]


def _scaled(rgb: npt.NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    scene = Image.fromarray(rgb)
    longest = max(scene.size)
    if longest > LONGEST:
        width, height = (max(1, side * LONGEST // longest) for side in scene.size)
        return scene.resize((width, height), Image.Resampling.LANCZOS)
    if longest < SHORTEST:
        times = -(-SHORTEST // longest)
        return scene.resize((scene.width * times, scene.height * times), Image.Resampling.NEAREST)
    return scene


def _draw_boxes(panel: Image.Image, boxes: Sequence[_Box], scale: tuple[float, float], font: Font, unit: float) -> int:
    """Draw the boxes and their labels; how many have no line in the picture."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(panel)
    seen = [(box, lines) for box in boxes if (lines := list(_lines(box.points, scale, panel.size)))]
    labels: list[tuple[Kind, str, tuple[int, int]]] = []
    taken: list[tuple[float, float, float, float]] = []
    for box, lines in reversed(seen):  # what matters has the choice of the place ...
        text = box.kind.letter
        if box.text is not None:
            shown = _ascii(box.text) if box.text.strip() == box.text != "" else f'"{_ascii(box.text)}"'
            text = f"{text}: {shown}" if text else shown
        if text:
            text = _cut(text, font, panel.width - 4)
            width, height = _extent(text, font)
            xs, ys = zip(*(point for line in lines for point in line), strict=True)
            x, y = _place((width, height), (min(xs), min(ys), max(xs), max(ys)), panel.size, taken)
            taken.append((x, y, x + width, y + height))
            labels.append((box.kind, text, (x, y)))
    for ordinary in (True, False):  # ... and lies on top
        for box, lines in seen:
            if (box.kind is SAME) is ordinary:
                _outline(pen, lines, box.kind, unit)
        for kind, text, corner in reversed(labels):
            if (kind is SAME) is ordinary:
                _label(pen, text, corner, font, ((205, 255, 205) if ordinary else kind.color, kind.ink))
    return len(boxes) - len(seen)


def _lines(
    points: Sequence[Sequence[float]], scale: tuple[float, float], size: tuple[int, int]
) -> Iterator[tuple[Point, Point]]:
    """The sides of a polygon in pixels of the panel, each cut off where it leaves it (Liang and Barsky 1984)."""
    import numpy as np

    corners = np.nan_to_num(np.asarray(points, np.float64)).clip(-1e9, 1e9) * scale  # no infinity comes of a product
    for (x, y), (to_x, to_y) in zip(corners.tolist(), np.roll(corners, -1, axis=0).tolist(), strict=True):
        first, last = 0.0, 1.0
        for start, end, most in ((x, to_x, size[0] - 1), (y, to_y, size[1] - 1)):
            if start == end:
                if not 0 <= start <= most:
                    last = -1.0
                continue
            near, far = sorted((-start / (end - start), (most - start) / (end - start)))
            first, last = max(first, near), min(last, far)
        if first <= last:
            yield (
                (x + first * (to_x - x), y + first * (to_y - y)),
                (x + last * (to_x - x), y + last * (to_y - y)),
            )


def _outline(pen: ImageDraw.ImageDraw, lines: Sequence[tuple[Point, Point]], kind: Kind, unit: float) -> None:
    """The lines in the kind's colour on a black edge, which a bright ground needs."""
    width = round(kind.width * unit)
    for line in lines:
        _stroke(pen, line, _INK, width + 2)
    done = 0.0  # a polygon of many short sides is dashed as well
    for line in lines:
        (x, y), (to_x, to_y) = line
        length = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
        if kind.dashes is None or not length:
            _stroke(pen, line, kind.color, width)
            continue
        on, off = (part * unit for part in kind.dashes)
        start = -(done % (on + off))
        while start < length:
            first, last = max(start, 0.0) / length, min(start + on, length) / length
            if first < last:
                begin, end = ((x + at * (to_x - x), y + at * (to_y - y)) for at in (first, last))
                pen.line([min(begin, end), max(begin, end)], kind.color, width)
            start += on + off
        done += length


def _stroke(pen: ImageDraw.ImageDraw, line: tuple[Point, Point], color: Color, width: int) -> None:
    """A line with square ends: corners are closed, and a line without length is seen."""
    pen.line(
        [min(line), max(line)], color, width
    )  # Pillow puts an even width on different sides of a line, by its direction
    for x, y in line:
        left, top = round(x) - (width - 1) // 2, round(y) - (width - 1) // 2
        pen.rectangle((left, top, left + width - 1, top + width - 1), color)


def _place(
    extent: tuple[int, int],
    around: tuple[float, float, float, float],
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[int, int]:
    """Where a label goes: above its box, else below, else in it; in the picture, and on no other label if it can be."""
    width, height = extent
    left, top, right, bottom = around
    places = []
    for x in (left, right - width):
        for y in (top - height - 2, bottom + 3, top + 3):
            inside = min(max(x, 0), size[0] - width), min(max(y, 0), size[1] - height)
            places.append((max(0, round(inside[0])), max(0, round(inside[1])), inside[1] != y))
    free = [
        place
        for place in places
        if not any(
            place[0] < other[2] and other[0] < place[0] + width and place[1] < other[3] and other[1] < place[1] + height
            for other in taken
        )
    ]
    return min(free or places, key=lambda place: place[2])[:2]  # the first of those that did not have to move


def _legend(pen: ImageDraw.ImageDraw, kinds: Sequence[Kind], corner: tuple[int, int], font: Font, unit: float) -> None:
    x, y = corner
    middle = y + round(9 * unit)
    for kind in kinds:
        _outline(pen, [((x + 2, middle), (x + round(28 * unit), middle))], kind, unit)
        x += round(36 * unit)
        if kind.letter:
            _label(pen, kind.letter, (x, y), font, (kind.color, kind.ink))
            x += _extent(kind.letter, font)[0] + 4
        pen.text((x, y), kind.name, _INK, font)
        x += _extent(kind.name, font)[0] + round(8 * unit)


def _label(
    pen: ImageDraw.ImageDraw, text: str, corner: tuple[int, int], font: Font, colors: tuple[Color, Color]
) -> None:
    """Text on a ground of its own; ``colors`` are those of the ground and of the text."""
    width, height = _extent(text, font)
    ground, ink = colors
    pen.rectangle((*corner, corner[0] + width - 1, corner[1] + height - 1), ground)
    pen.text((corner[0] + 3, corner[1]), text, ink, font)


def _extent(text: str, font: Font) -> tuple[int, int]:
    """Width and height of a label; the same height for any text."""
    return round(font.getlength(text)) + 6, round(font.getbbox("Ag|")[3]) + 2


def _cut(text: str, font: Font, width: int) -> str:
    text = text[:width]  # no letter is narrower than a pixel
    if _extent(text, font)[0] <= width:
        return text
    while text and _extent(f"{text}...", font)[0] > width:
        text = text[:-1]
    return f"{text}..."


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Lines no wider than ``width``, broken after a space or a slash where the second half of a line has one."""
    lines = []
    while text:
        end = len(text)
        while end > 1 and font.getlength(text[:end]) > width:
            end -= 1
        if end < len(text):
            at = max(text.rfind(mark, end // 2, end) for mark in " /")
            end = at + 1 if at >= 0 else end
        lines.append(text[:end])
        text = text[end:]
    return lines


def _ascii(text: str) -> str:
    """``text`` with ``\\xe9`` and the like for all but printable ASCII, and Pillow's own font has little else.

    It draws one and the same sign for all that it lacks: two texts would look the same that are not.
    """
    return "".join(
        each if each.isascii() and each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _font(size: int) -> Font:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError):  # Pillow 10.0, or one without FreeType: a bitmap font of one size
        return ImageFont.load_default()
