"""What the training scripts beside the adapters share: a budget, checkpoints, a learning rate, and the file they ship.

Not imported by any adapter: a run of the suite never trains.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def arguments(description: str, *, minutes: float, out: str) -> argparse.ArgumentParser:
    """The options that every training script has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=positive, default=minutes, help="budget; the schedule is stretched over it")
    budget.add_argument("--steps", type=count, help="budget in steps; the same seed then gives the same weights again")
    parser.add_argument("--seed", type=int, default=1, help="of the first weights and of every picture")
    parser.add_argument("--out", type=Path, default=Path(out), help="the .npz file to write, float16")
    parser.add_argument(
        "--checkpoint", type=Path, help="saved every minute; a run that finds one goes on from it (default: OUT.ckpt)"
    )
    return parser


def checkpoint_of(options: argparse.Namespace) -> Path:
    """Where a run keeps what it needs to go on."""
    path: Path = options.checkpoint or options.out.with_name(f"{options.out.name}.ckpt")
    return path


def positive(text: str) -> float:
    """An option's value that must be above zero."""
    value = float(text)
    if not value > 0 or math.isinf(value):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def count(text: str) -> int:
    """An option's value that must be a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


class Refused(Exception):
    """What the user gave cannot be used; the message says why, in a sentence."""


def check_writable(path: Path) -> None:
    """Say at the beginning, not after an hour, that a file cannot be written.

    Raises:
        Refused: its folder cannot be made or written to.
    """
    if path.is_dir():
        raise Refused(f"{path} cannot be written (it is a folder): name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=f"{path.name}.", suffix=".part", dir=path.parent):
            pass
    except OSError as error:
        raise Refused(f"{path} cannot be written ({error.strerror}): name another file") from None


class Budget:
    """How much of a run is spent, over interruptions: by steps where they are given, else by seconds.

    Args:
        minutes: length of the run, where ``steps`` is None.
        steps: length of the run in steps.
        seconds: what earlier parts of the run took.
        step: the steps they made.
    """

    def __init__(self, minutes: float, steps: int | None, *, seconds: float = 0.0, step: int = 0) -> None:
        self.minutes, self.steps, self.step = minutes, steps, step
        self._before, self._start = seconds, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._before + time.monotonic() - self._start

    @property
    def spent(self) -> float:
        """The part of the run that is behind, 0 to 1."""
        return min(1.0, self.step / self.steps if self.steps else self.seconds / (60 * self.minutes))


def learning_rate(spent: float, peak: float, warm_up: float = 0.03) -> float:
    """Linear warm-up to ``peak``, then a cosine to a hundredth of it (Loshchilov and Hutter 2017, without restarts)."""
    if spent < warm_up:
        return peak * (spent + 1e-3) / (warm_up + 1e-3)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * (spent - warm_up) / (1 - warm_up))) / 2)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and numbers; the file appears whole or not at all."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    _replace(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None where there is no file. Nothing in it is run (``weights_only``).

    Raises:
        Refused: the file is something else.
    """
    import pickle

    import torch

    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
        raise Refused(f"{path} is no checkpoint of this script: delete it, or name another --checkpoint") from None
    return state


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Arrays as float16, compressed; the same arrays give the same bytes (names sorted, no times in the archive)."""
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.asarray(arrays[name], np.float16), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.getvalue())
    _replace(path, buffer.getvalue())


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
