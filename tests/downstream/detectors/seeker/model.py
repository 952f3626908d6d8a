"""The same detector in another framework, as somebody may have ported it: rightly, or (``short``) not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocr_conformance.job import beside

if TYPE_CHECKING:
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[Any]]

Finder: Any = beside(__file__, "../finder/model.py").Finder


class Seeker(Finder):
    """Cuts the last two squares off where its variant says so."""

    def boxes(self, outputs: Tensors, sizes: list[tuple[int, int]]) -> list[list[list[list[float]]]]:
        found: list[list[list[list[float]]]] = super().boxes(outputs, sizes)
        if self.variant != "short":
            return found
        return [
            [[left, [right[0] - 8, right[1]], [low[0] - 8, low[1]], last] for left, right, low, last in boxes]
            for boxes in found
        ]
