"""Greedy CTC decoding of best classes, for adapters whose source library decodes so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


def greedy(best: npt.NDArray[Any], alphabet: str, *, blank_first: bool = True) -> list[str]:
    """Texts of ``[N, frames]`` class indices: repeats are merged, then blanks dropped (Graves et al. 2006).

    Args:
        alphabet: characters in class order, without the blank.
        blank_first: whether the blank is class 0, before the alphabet, or the class after it.
    """
    import numpy as np

    shift = 1 if blank_first else 0
    texts = []
    for row in best:
        kept = row[np.insert(row[1:] != row[:-1], 0, True)] - shift
        texts.append("".join(alphabet[index] for index in kept if 0 <= index < len(alphabet)))
    return texts
