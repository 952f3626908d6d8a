"""Draw counters of meters: `python training/render.py` writes the images that are judged, and those for calibration."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

MODELS = Path(__file__).resolve().parents[1] / "ocr_models"
SIZE = (80, 30)
FONTS = [ImageFont.load_default(size) for size in range(19, 25)]  # Pillow's own: Aileron, CC0


def counter(draw: random.Random) -> tuple[Image.Image, str]:
    """A gray image of four digits, lit and turned a little, and the digits."""
    text = "".join(draw.choices("0123456789", k=4))
    paper, ink = draw.randint(150, 255), draw.randint(0, 70)
    image = Image.new("L", SIZE, paper)
    font, pen, left = draw.choice(FONTS), ImageDraw.Draw(image), draw.uniform(4, 10)
    for digit in text:
        pen.text((left, draw.uniform(1, 4)), digit, ink, font)
        left += font.getlength(digit) + draw.uniform(1, 4)
    image = image.rotate(draw.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=paper)
    noise = Image.frombytes("L", SIZE, draw.randbytes(SIZE[0] * SIZE[1]))
    return Image.blend(image, noise, draw.uniform(0, 0.15)), text


def write(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` images and their ``labels.tsv``."""
    folder.mkdir(exist_ok=True)
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        image, text = counter(draw)
        image.save(folder / f"{number:02}.png")
        lines.append(f"{number:02}.png\t{text}\n")
    (folder / "labels.tsv").write_text("".join(lines))


if __name__ == "__main__":
    write(MODELS / "meter-torch" / "counters", 16, seed=1)
    write(MODELS / "meter-torch" / "counters-calibration", 16, seed=2)
