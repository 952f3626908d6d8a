"""The calibration set as hops find it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


def read_calibration(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of ``inputs.npz``: ``[N, ...]`` per input name, N at least 1 and the same for all.

    Raises:
        ValueError: the set is empty, or its inputs differ in number of samples.
    """
    import numpy as np

    with np.load(folder / "inputs.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    counts = {name: len(array) for name, array in arrays.items()}
    if not any(counts.values()):
        raise ValueError("the calibration set is empty")
    if len(set(counts.values())) > 1:
        raise ValueError(f"the calibration set has different numbers of samples per input: {counts}")
    return arrays
