"""Building blocks of preprocessing recipes for an app, in numpy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image


def open_8bit(path: str, *, luma: bool = False) -> Image.Image:
    """Decode an image file with Pillow; 16-bit gray loses its low byte, as in TensorFlow's and OpenCV's decoders.

    ``luma`` takes of a JPEG file its luma only.

    Raises:
        ValueError: the file cannot be read or does not decode.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if luma:
                image.draft("L", image.size)
            image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is not an image that can be read ({error})") from error
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


def open_gray(path: str) -> npt.NDArray[np.uint8]:
    """Decode an image file to gray ``[H, W]`` as ``cv2.imread(path, cv2.IMREAD_GRAYSCALE)`` does, turned as EXIF says.

    A JPEG file holds its luma, which is taken as it is; libpng makes gray of color by rounding down, OpenCV itself (for
    all other formats) to the nearest.

    Raises:
        ValueError: the file cannot be read or does not decode.
    """
    import numpy as np
    from PIL import ImageOps

    opened = open_8bit(path, luma=True)
    kind = opened.format
    image = ImageOps.exif_transpose(opened)
    if image.mode in ("L", "1", "LA"):
        return np.asarray(image.convert("L"))
    rgb = np.asarray(image.convert("RGB"))
    return gray_libpng(rgb) if kind == "PNG" else gray_opencv(rgb)


def resize_linear(image: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Resize ``[H, W]`` or ``[H, W, C]`` linearly, as ``tf.image.resize`` and OpenCV's ``INTER_LINEAR`` do.

    Pixel centres lie at half integers, positions outside are clamped to the border, nothing is smoothed when shrinking.
    """
    return _along(_along(image, height, 0), width, 1)


def _along(image: npt.NDArray[Any], size: int, axis: int) -> npt.NDArray[Any]:
    import numpy as np

    length = image.shape[axis]
    where = np.clip((np.arange(size, dtype=np.float64) + 0.5) * (length / size) - 0.5, 0, length - 1)
    low = np.floor(where).astype(np.int64)
    high = np.minimum(low + 1, length - 1)
    share = (where - low).astype(image.dtype).reshape(-1, *[1] * (image.ndim - axis - 1))
    first, second = image.take(low, axis), image.take(high, axis)
    between: npt.NDArray[Any] = first + (second - first) * share
    return between


def resize_bicubic(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize 8-bit ``[H, W]`` as Pillow's ``Image.resize(..., BICUBIC)`` does.

    A cubic kernel with a = -0.5 (Keys 1981), as wide as the source step when shrinking; 8-bit numbers between passes.
    Pillow computes in fixed point, and takes rows first where that is cheaper (so does this, by a simpler rule): where
    a sum lies on .5 the last bit differs, where the order does, photographs differ by some levels at sharp edges.
    """
    if height < image.shape[0] and height * image.shape[1] < image.shape[0] * width:
        return _cubic_along(_cubic_along(image, height, 0), width, 1)
    return _cubic_along(_cubic_along(image, width, 1), height, 0)


def _cubic_along(image: npt.NDArray[np.uint8], size: int, axis: int) -> npt.NDArray[np.uint8]:
    import numpy as np

    length = image.shape[axis]
    if size == length:
        return image
    step = length / size
    stretch = max(step, 1.0)
    centre = (np.arange(size) + 0.5) * step
    first = np.maximum(np.trunc(centre - 2 * stretch + 0.5), 0).astype(int)
    last = np.minimum(np.trunc(centre + 2 * stretch + 0.5), length).astype(int)
    position = np.arange(length)
    distance = np.abs((position + 0.5 - centre[:, None]) / stretch)
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    weights *= (position >= first[:, None]) & (position < last[:, None])
    weights /= weights.sum(1, keepdims=True)
    summed = np.moveaxis(np.tensordot(weights, image.astype(np.float64), (1, axis)), 0, axis)
    return np.clip(np.floor(summed + 0.5), 0, 255).astype(np.uint8)


def gray_libpng(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Gray of 8-bit ``[H, W, 3]`` as libpng makes it, for TensorFlow and OpenCV: BT.601 in 15 bit, rounded down.

    ``png_set_rgb_to_gray(0.299, 0.587)``; the coefficients were found by trying all near those on random colors
    (TensorFlow 2.15 and 2.21, OpenCV 5.0).
    """
    import numpy as np

    return ((rgb.astype(np.int32) @ np.array([9797, 19234, 3737], np.int32)) >> 15).astype(np.uint8)


def gray_opencv(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Gray of 8-bit ``[H, W, 3]`` as ``cv2.cvtColor(..., COLOR_RGB2GRAY)``: BT.601 in 15 bit fixed point, rounded."""
    import numpy as np

    return ((rgb.astype(np.int32) @ np.array([9798, 19235, 3735], np.int32) + (1 << 14)) >> 15).astype(np.uint8)


def gray_pillow(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Gray of 8-bit ``[H, W, 3]`` as Pillow's ``convert("L")``: BT.601 in 16 bit fixed point, rounded."""
    import numpy as np

    return ((rgb.astype(np.int32) @ np.array([19595, 38470, 7471], np.int32) + (1 << 15)) >> 16).astype(np.uint8)
