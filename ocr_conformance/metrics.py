"""Distances between tensors and between texts, and how far statistics lets us trust a count or a ratio."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

SQNR_CAP_DB = 200.0
"""What `distance` gives for tensors without any difference (negated: without any signal): records hold no infinity."""

CONFIDENCE = 0.95
"""Of every interval in this module, two-sided, unless another is asked for."""


# --- tensors ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Distance:
    """How far tensors ``[N, ...]`` are from their reference.

    Attributes:
        max_abs: largest absolute difference over ``scale``; 0 and up.
        rmse: root mean square difference over ``scale``; 0 and up, at most ``max_abs``.
        cosine: cosine similarity of the worst sample, -1 .. 1 (two all-zero samples: 1; one: 0).
        cosine_mean: averaged over the samples.
        sqnr_db: 10 log10(sum of reference^2 / sum of difference^2), dB, within +-`SQNR_CAP_DB`.
        outside: share of elements whose scaled difference is above the tolerance, 0 .. 1.
        scale: largest magnitude in the reference (1 where that is 0); the unit of ``max_abs`` and ``rmse``.
        worst: the sample with the largest difference (the first with a NaN or infinity, where there is one).
        nonfinite: elements that are NaN or infinite in the measured tensor or in the reference. With any, all distances
            are NaN, which keeps to no limit.
        constant: every sample gives the same output although the reference's samples differ.
    """

    max_abs: float
    rmse: float
    cosine: float
    cosine_mean: float
    sqnr_db: float
    outside: float
    scale: float
    worst: int
    nonfinite: int
    constant: bool


def distance(reference: Array, measured: Array, tolerance: float = 0.0) -> Distance:
    """Compare stacked samples, in double precision, one sample at a time (detector outputs are large).

    Args:
        reference, measured: equal shapes ``[N, ...]``, any real dtype, N at least 1.
        tolerance: scaled difference above which an element counts as outside.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    if reference.shape != measured.shape:
        raise ValueError(f"shapes differ: {list(reference.shape)} and {list(measured.shape)}")
    if reference.size == 0:
        raise ValueError(f"nothing to compare in shape {list(reference.shape)}")
    bad = [int(np.count_nonzero(~(np.isfinite(r) & np.isfinite(m)))) for r, m in zip(reference, measured, strict=True)]
    constant = len(measured) > 1 and _all_same(measured) and not _all_same(reference)
    if any(bad):
        nan = math.nan
        return Distance(nan, nan, nan, nan, nan, nan, nan, int(np.argmax(np.array(bad) > 0)), sum(bad), constant)
    scale = max(float(np.abs(np.asarray(sample, np.float64)).max()) for sample in reference) or 1.0
    largest, cosines = [], []
    signal = noise = 0.0
    outside = 0
    for r, m in zip(reference, measured, strict=True):
        # Scaled before squaring: tiny and huge magnitudes neither vanish nor overflow.
        wanted = np.asarray(r, np.float64).ravel() / scale
        given = np.asarray(m, np.float64).ravel() / scale
        gap = np.abs(given - wanted)
        largest.append(float(gap.max()))
        signal += float(wanted @ wanted)
        noise += float(gap @ gap)
        outside += int(np.count_nonzero(gap > tolerance))
        cosines.append(_cosine(wanted, given))
    return Distance(
        max_abs=max(largest),
        rmse=min(math.sqrt(noise / reference.size), max(largest)),
        cosine=min(cosines),
        cosine_mean=min(math.fsum(cosines) / len(cosines), 1.0),
        sqnr_db=_decibels(signal, noise),
        outside=outside / reference.size,
        scale=scale,
        worst=int(np.argmax(largest)),
        nonfinite=0,
        constant=constant,
    )


def _all_same(samples: Array) -> bool:
    return all(np.array_equal(samples[0], sample, equal_nan=True) for sample in samples[1:])


def _cosine(first: Array, second: Array) -> float:
    a, b = np.abs(first).max(), np.abs(second).max()
    if a == 0 or b == 0:
        return 1.0 if a == b else 0.0
    first, second = first / a, second / b
    return float(np.clip(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)), -1.0, 1.0))


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return SQNR_CAP_DB
    if signal == 0:
        return -SQNR_CAP_DB
    return float(np.clip(10 * (math.log10(signal) - math.log10(noise)), -SQNR_CAP_DB, SQNR_CAP_DB))


# --- texts -----------------------------------------------------------------------------------------------------------


Compare = Literal["exact", "alphanumeric"]


def normalise(text: str, compare: Compare) -> str:
    """What is compared with a label: the text in Unicode's NFC, or its ASCII letters and digits in lower case.

    An accent is the same in a character of its own (NFC) and behind its letter (NFD, as macOS writes file names). The
    letters and digits are how the benchmarks of scene text count (``re.sub`` in ``test.py`` of clovaai's
    deep-text-recognition).
    """
    return unicodedata.normalize("NFC", text) if compare == "exact" else re.sub("[^0-9a-z]", "", text.lower())


def agreement(reference: Sequence[str], texts: Sequence[str]) -> float:
    """Share of samples with exactly the same text, 0 .. 1.

    Raises:
        ValueError: different or zero numbers of samples.
    """
    if len(reference) != len(texts) or not reference:
        raise ValueError(f"{len(reference)} and {len(texts)} texts cannot be compared")
    return sum(a == b for a, b in zip(reference, texts, strict=True)) / len(reference)


def cer(reference: Sequence[str], texts: Sequence[str]) -> float:
    """Character error rate: Levenshtein edits over reference characters, summed over the samples; may exceed 1.

    References without any character count as one, so that inventing text is not free.
    """
    from rapidfuzz.distance import Levenshtein

    edits = sum(Levenshtein.distance(a, b) for a, b in zip(reference, texts, strict=True))
    return edits / max(1, sum(len(text) for text in reference))


def first_difference(first: str, second: str) -> int | None:
    """Position (from 0) of the first character in which two texts differ; ``None`` when they are equal."""
    if first == second:
        return None
    common = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    return min(len(first), len(second)) if common is None else common


@dataclass(frozen=True)
class Paired:
    """Two readings of the same labelled samples, each right or wrong."""

    total: int
    source_right: int
    right: int
    lost: tuple[int, ...]
    """Samples that only the source reads right."""
    gained: tuple[int, ...]
    """Samples that only the artifact reads right."""

    @property
    def drop(self) -> float:
        """Accuracy of the source minus accuracy of the artifact, -1 .. 1."""
        return (len(self.lost) - len(self.gained)) / self.total


def paired(
    source: Sequence[str], texts: Sequence[str], labels: Sequence[str | None], compare: Compare = "exact"
) -> Paired:
    """Hold both readings against the labels; samples without a label (``None``) do not count."""
    lost, gained = [], []
    total = source_right = right = 0
    for index, (ours, theirs, label) in enumerate(zip(source, texts, labels, strict=True)):
        if label is None:
            continue
        wanted = normalise(label, compare)
        before, after = normalise(ours, compare) == wanted, normalise(theirs, compare) == wanted
        total += 1
        source_right += before
        right += after
        if before and not after:
            lost.append(index)
        if after and not before:
            gained.append(index)
    return Paired(total, source_right, right, tuple(lost), tuple(gained))


# --- statistics ------------------------------------------------------------------------------------------------------
# scipy.special only: importing scipy.stats costs a second and 45 MB. The tests hold these against scipy.stats.


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 22, 1927), 0 .. 1; ``trials`` at least 1."""
    from scipy.special import ndtri

    z = float(ndtri(0.5 + CONFIDENCE / 2))
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == trials else min(1.0, centre + half)


def drop_interval(lost: int, gained: int, total: int) -> tuple[float, float]:
    """Interval of the paired accuracy drop ``(lost - gained) / total``, exact given the number of changed samples.

    Given that ``lost + gained`` samples changed, how many of them were lost is binomial: that is McNemar's exact test
    (Psychometrika 12, 1947), and its Clopper-Pearson interval carries over. Without any change the interval is zero:
    the samples tell the two readings apart in no way.
    """
    from scipy.special import betaincinv

    changed = lost + gained
    if changed == 0:
        return 0.0, 0.0
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(lost, gained + 1, tail)) if lost else 0.0
    high = float(betaincinv(lost + 1, gained, 1 - tail)) if gained else 1.0
    return (2 * low - 1) * changed / total, (2 * high - 1) * changed / total


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Median and its distribution-free interval between two order statistics; infinitely wide below 6 values (of 95 %).

    The number of values below the true median is binomial(n, 1/2) whatever their distribution (Hettmansperger and
    McKean, "Robust Nonparametric Statistical Methods", 1.3).
    """
    from scipy.special import bdtr

    ordered = sorted(values)
    number = len(ordered)
    tail = (1 - confidence) / 2
    rank = 0
    while rank < number and float(bdtr(rank, number, 0.5)) <= tail:
        rank += 1
    middle = float(np.median(ordered))
    if rank == 0:
        return middle, -math.inf, math.inf
    return middle, ordered[rank - 1], ordered[number - rank]


def block_medians(values: Sequence[float], blocks: Sequence[int] | None = None) -> list[float]:
    """The median of each run of so many values; without ``blocks`` the values themselves.

    For rounds that are no independent observations: what they have in common is the same for a whole block.

    Raises:
        ValueError: the blocks do not hold as many values as there are.
    """
    if blocks is None:
        return list(values)
    if sum(blocks) != len(values) or min(blocks, default=0) < 1:
        raise ValueError(f"blocks of {sum(blocks)} in all, {len(values)} values")
    ends = list(itertools.accumulate(blocks))
    return [float(np.median(values[end - count : end])) for end, count in zip(ends, blocks, strict=True)]


def ratio_interval(
    ours: Sequence[float],
    theirs: Sequence[float],
    blocks: Sequence[int] | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[float, float, float]:
    """Median and interval of the ratio of two interleaved series: of the ratios round by round, so that drift cancels.

    Args:
        blocks: the observations are not the rounds but `block_medians` of so many of them.

    Raises:
        ValueError: series of different length, or a time that is not above 0.
    """
    if len(ours) != len(theirs) or not ours or min(*ours, *theirs) <= 0:
        raise ValueError("two equally long series of positive numbers are needed")
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    middle, low, high = median_interval(block_medians(ratios, blocks), confidence)
    return middle, max(low, 0.0), high


def clopper_pearson(successes: int, trials: int) -> tuple[float, float]:
    """The exact interval of a proportion (Biometrika 26, 1934), 0 .. 1; without any trial all of it."""
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0
    return low, high
