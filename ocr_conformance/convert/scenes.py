"""What adapters of detectors share: reading a scene, fitting it on a square canvas, and the way back for polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocr_conformance.convert.phone import open_8bit, resize_linear

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def read_rgb(path: str) -> npt.NDArray[np.uint8]:
    """Decode an image file with Pillow to RGB ``[H, W, 3]``, 8 bit, turned as its EXIF orientation says.

    CMYK, palettes, gray and black and white become RGB; alpha is dropped, not blended; of 16 bits the high byte stays.

    Raises:
        ValueError: the file cannot be read, does not decode whole, or has no 8-bit meaning (float pixels, LAB).
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        image = open_8bit(path)
        if image.mode == "F":
            raise ValueError("its pixels are floats of unknown range")
        if image.format is None:  # what `open_8bit` makes of 16 bits has lost the orientation
            with Image.open(path) as deep:
                deep.load()  # as in `open_8bit`: Pillow turns a TIFF file while it loads, and then says that it did
                image.info["exif"] = deep.getexif().tobytes()
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error)
        if reason.startswith(path):  # said already
            raise
        raise ValueError(f"{path} is not an image that can be read ({reason})") from error


@dataclass(frozen=True)
class Fit:
    """How an image lies on a canvas: at its top left, scaled to ``height`` x ``width``.

    Attributes:
        image: (height, width) of the original, pixels.
        height, width: of what is on the canvas, pixels, at least 1.
    """

    image: tuple[int, int]
    height: int
    width: int

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per pixel of the original, along x and along y.

        They differ a little: each side is rounded down to whole pixels, and of a very long image the short one up to 1.
        """
        return self.width / self.image[1], self.height / self.image[0]

    def to_canvas(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Points ``[..., 2]`` (x, y) of the original, in pixels of the canvas."""
        import numpy as np

        there: npt.NDArray[np.float64] = np.asarray(points, np.float64) * np.array(self.scale)
        return there

    def to_image(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Points ``[..., 2]`` (x, y) of the canvas, in pixels of the original; not clipped to it."""
        import numpy as np

        back: npt.NDArray[np.float64] = np.asarray(points, np.float64) / np.array(self.scale)
        return back


def fit(size: tuple[int, int], side: int) -> Fit:
    """Fit an image of ``size`` (height, width) on a canvas of ``side`` x ``side`` pixels.

    The longer side becomes ``side``, the other one follows in proportion, rounded down to whole pixels but not to none.
    An image that is small enough keeps its size: nothing is enlarged.

    Raises:
        ValueError: the image has no pixels.
    """
    longest = max(size)
    if min(size) < 1:
        raise ValueError(f"an image of {size[1]}x{size[0]} pixels has none")
    target = min(longest, side)
    height, width = (max(1, length * target // longest) for length in size)
    return Fit(size, height, width)


def letterbox(rgb: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The image on a black canvas ``[side, side, 3]`` as `fit` says, scaled by OpenCV's ``INTER_LINEAR``.

    Not antialiased: what is far larger than the canvas loses thin strokes, in the source library as well.
    """
    import cv2

    place = fit(rgb.shape[:2], side)
    resized = cv2.resize(rgb, (place.width, place.height), interpolation=cv2.INTER_LINEAR)
    return _on_canvas(resized, side)


def phone_letterbox(rgb: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The same in numpy; OpenCV's weights have 11 bits: one gray level apart on a few of the pixels, never more."""
    import numpy as np

    place = fit(rgb.shape[:2], side)
    resized = np.floor(resize_linear(rgb.astype(np.float32), place.height, place.width) + 0.5).astype(np.uint8)
    return _on_canvas(resized, side)


def _on_canvas(resized: npt.NDArray[Any], side: int) -> npt.NDArray[np.uint8]:
    import numpy as np

    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[: resized.shape[0], : resized.shape[1]] = resized
    return canvas


def clockwise(corners: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The corners ``[4, 2]`` (x, y) of a rectangle, clockwise as seen (y down), from the one nearest to the top left.

    That is the one with the smallest x + y; of two the higher one. OpenCV's versions begin with different corners.
    """
    import numpy as np

    points = np.asarray(corners, np.float64)
    following = np.roll(points, -1, axis=0)
    if (points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]).sum() < 0:  # twice the area, signed
        points = points[::-1]
    # Rounded, so that the last bit of a sine does not choose.
    first = np.lexsort((points[:, 1].round(3), points.sum(1).round(3)))[0]
    return np.roll(points, -first, axis=0)


def rectify(rgb: npt.NDArray[np.uint8], box: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """The quadrilateral ``box`` of an image, seen from the front, as a crop of its own size.

    A perspective transform, bilinear, black beyond the image, as keras-ocr's ``tools.warpBox`` and EasyOCR's
    ``four_point_transform`` do it with OpenCV; here by Pillow, which every toolchain has.

    Args:
        rgb: ``[H, W, 3]``, 8 bit.
        box: ``[4, 2]`` corners (x, y), clockwise from the top left one of the text, in pixels of the image: pixel i
            spans i to i + 1.

    Returns:
        ``[h, w, 3]``: w the longer of the upper and the lower edge, h of the left and the right one, rounded, at least
        1 and at most twice the image's longer side.
    """
    import numpy as np
    from PIL import Image

    corners = np.asarray(box, np.float64)
    edges = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    most = 2 * max(rgb.shape[:2])
    width, height = (int(np.clip(round(max(edges[i], edges[i + 2])), 1, most)) for i in (0, 1))
    # (x, y) of the crop comes from ((a x + b y + c) / (g x + h y + 1), (d x + e y + f) / (g x + h y + 1)).
    rows, values = [], []
    for (x, y), (u, v) in zip(((0, 0), (width, 0), (width, height), (0, height)), corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    # Least squares: a box without area has no unique answer, and any will do.
    coefficients = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    crop = Image.fromarray(rgb).transform(
        (width, height), Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(crop)
