"""Building blocks of preprocessing recipes for an app, in numpy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def resize_linear(image: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Resize ``[H, W]`` or ``[H, W, C]`` by linear interpolation, as ``tf.image.resize`` and OpenCV's ``INTER_LINEAR`` do.

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
    return first + (second - first) * share
