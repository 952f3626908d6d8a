"""Building blocks of preprocessing recipes for an app, in numpy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image


def open_8bit(path: str) -> Image.Image:
    """Decode an image file with Pillow; 16-bit gray loses its low byte, as in TensorFlow's and OpenCV's decoders.

    Raises:
        ValueError: the file cannot be read or does not decode.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is not an image that can be read ({error})") from error
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


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
