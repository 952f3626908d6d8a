"""Running sums over samples from which SQNR, cosine and ranges come: no tensor is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

CAP_DB = 200.0
"""What stands for no difference at all (and, negated, for no signal): records hold no infinity."""


@dataclass
class Sums:
    """Of a measured tensor and its reference, over the samples seen so far; the range of each."""

    signal: float = 0.0
    noise: float = 0.0
    energy: float = 0.0
    product: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    given_low: float = math.inf
    given_high: float = -math.inf
    largest: float = 0.0
    different: int = 0
    elements: int = 0
    nonfinite: int = 0

    def add(self, reference: npt.NDArray[Any], measured: npt.NDArray[Any]) -> None:
        """One sample; equal numbers of elements. Numbers that are not finite are counted and left out."""
        import numpy as np

        a = np.asarray(reference, np.float64).ravel()
        b = np.asarray(measured, np.float64).ravel()
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.all():
            self.nonfinite += int((~finite).sum())
            a, b = a[finite], b[finite]
        if not a.size:
            return
        gap = b - a
        self.signal += float(a @ a)
        self.noise += float(gap @ gap)
        self.energy += float(b @ b)
        self.product += float(a @ b)
        self.low, self.high = min(self.low, float(a.min())), max(self.high, float(a.max()))
        self.given_low, self.given_high = min(self.given_low, float(b.min())), max(self.given_high, float(b.max()))
        self.largest = max(self.largest, float(np.abs(gap).max()))
        self.different += int(np.count_nonzero(gap))
        self.elements += a.size

    @property
    def sqnr_db(self) -> float:
        """10 log10(sum of reference^2 / sum of difference^2), dB, within +-`CAP_DB`."""
        if self.nonfinite:
            return -CAP_DB
        if self.noise == 0:
            return CAP_DB
        if self.signal == 0:
            return -CAP_DB
        return max(-CAP_DB, min(CAP_DB, 10 * math.log10(self.signal / self.noise)))

    @property
    def cosine(self) -> float:
        """Cosine similarity of everything seen, -1 .. 1 (both all zero: 1, one: 0)."""
        size = math.sqrt(self.signal * self.energy)
        if size == 0:
            return float(self.signal == self.energy)
        return max(-1.0, min(1.0, self.product / size))
