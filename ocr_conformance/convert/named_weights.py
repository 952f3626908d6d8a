"""Weight arrays by name: drawn from a seed, or read from an ``.npz`` file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[np.float32]]


def uniform(seed: str, name: str, shape: tuple[int, ...], low: float, high: float) -> npt.NDArray[np.float32]:
    """Values in ``[low, high)``, the same on every machine: PCG64 seeded by the SHA-256 of seed and name.

    Uniform, because numpy draws those from the generator's bits alone; normal values pass through ``libm``.
    """
    return (low + (high - low) * _unit(seed, name, shape)).astype("float32")


def glorot(seed: str, name: str, shape: tuple[int, ...], gain: float = 1.0) -> npt.NDArray[np.float32]:
    """A kernel ``[..., in, out]``: uniform, variance ``2 gain^2 / (fan in + fan out)``, zero sum per output.

    Glorot and Bengio 2010, equation 16, which Keras uses by default. The zero sum takes away the answer to a constant
    input, which in an untrained network with positive activations drowns what differs between two images.
    """
    window = math.prod(shape[:-2])
    limit = gain * math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
    kernel = _unit(seed, name, shape)
    inputs = tuple(range(len(shape) - 1))
    # Exact in double precision whatever the order of summation: the values are multiples of 2**-24.
    centred = kernel - kernel.sum(axis=inputs, keepdims=True) / math.prod(shape[:-1])
    values: npt.NDArray[np.float32] = (2 * limit * centred).astype("float32")
    return values


def _unit(seed: str, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    import numpy as np

    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    return generator.random(shape, dtype=np.float32).astype(np.float64)


def read_npz(path: str, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """The arrays of an ``.npz`` file as float32.

    Args:
        path: the file; any floating type.
        shapes: every name that it must hold, and the shape.

    Raises:
        ValueError: the file is no ``.npz``, lacks a name, has one too many, or an array of another shape, of no numbers
            or with NaN in it.
    """
    import numpy as np

    name = Path(path).name
    found: dict[str, tuple[int, ...]] = {}
    arrays: Arrays = {}
    try:
        with open(path, "rb") as file:
            archive = np.load(file)  # without pickle, which is numpy's default
            for key in archive.files if isinstance(archive, np.lib.npyio.NpzFile) else ():
                with archive.zip.open(f"{key}.npy") as member:
                    found[key], dtype = _header(member)
                if dtype.kind not in "fiu":
                    raise ValueError(f"{key!r} holds {dtype}, not numbers")
                # What would unpack to more than the network has is not unpacked.
                if found[key] == shapes.get(key):
                    arrays[key] = archive[key].astype(np.float32)
    except Exception as error:  # of zip, zlib and array headers; numpy documents few
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"weights {name}: not a readable .npz file ({reason})") from error
    for key, shape in sorted(shapes.items()):
        if key not in found:
            raise ValueError(f"weights {name}: no {key!r}, which the network needs (shape {shape})")
        if found[key] != shape:
            raise ValueError(f"weights {name}: {key!r} has shape {found[key]}, the network needs {shape}")
        if np.isnan(arrays[key]).any():
            raise ValueError(f"weights {name}: {key!r} has NaN in it: training has failed, or the file is damaged")
    surplus = sorted(set(found) - set(shapes))
    if surplus:
        raise ValueError(f"weights {name}: {surplus[0]!r} is no weight of the network")
    return {key: arrays[key] for key in shapes}


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of a stored array."""
    from numpy.lib import format

    version = format.read_magic(member)
    read = format.read_array_header_1_0 if version == (1, 0) else format.read_array_header_2_0
    shape, _, dtype = read(member)
    return shape, dtype
