"""Distances keep their algebra; intervals are those of scipy.stats, which the package does not import."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest, quantile_test

from ocr_conformance import metrics

UNHURRIED = settings(deadline=None)  # other work on the machine is no failure
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)
# Magnitudes that a float32 tensor has, without those whose square or ratio needs more than double precision.
NUMBERS = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=NUMBERS)] * 2))


@UNHURRIED
@given(PAIRS)
def test_distances_keep_their_bounds(pair: tuple[metrics.Array, metrics.Array]) -> None:
    distance = metrics.distance(*pair, tolerance=0.1)
    assert 0 <= distance.rmse <= distance.max_abs
    assert -1 <= distance.cosine <= distance.cosine_mean + 1e-12 <= 1 + 1e-12
    assert abs(distance.sqnr_db) <= metrics.SQNR_CAP_DB
    assert 0 <= distance.outside <= 1
    assert (distance.outside > 0) == (distance.max_abs > 0.1)


@UNHURRIED
@given(PAIRS, st.floats(1e-3, 1e3))
def test_a_unit_of_measurement_changes_no_distance(pair: tuple[metrics.Array, metrics.Array], factor: float) -> None:
    reference, measured = (array.astype(np.float64) for array in pair)
    if not reference.any():  # an all-zero reference has no magnitude: its unit is 1 by definition
        return
    one = metrics.distance(reference, measured)
    other = metrics.distance(reference * factor, measured * factor)
    for name in ("max_abs", "rmse", "cosine", "cosine_mean"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-9)
    assert one.sqnr_db == pytest.approx(other.sqnr_db, abs=1e-3) or one.max_abs < 1e-12


@UNHURRIED
@given(PAIRS)
def test_cosine_is_symmetric_and_max_abs_is_in_absolute_units(pair: tuple[metrics.Array, metrics.Array]) -> None:
    one, other = metrics.distance(*pair), metrics.distance(*reversed(pair))
    assert one.cosine == pytest.approx(other.cosine, abs=1e-9)
    assert one.max_abs * one.scale == pytest.approx(other.max_abs * other.scale, rel=1e-9)


@UNHURRIED
@given(PAIRS.map(lambda pair: pair[0]))
def test_a_tensor_is_at_no_distance_from_itself(array: metrics.Array) -> None:
    distance = metrics.distance(array, array.copy())
    assert (distance.max_abs, distance.rmse, distance.outside) == (0, 0, 0)
    assert distance.cosine == pytest.approx(1)
    assert distance.sqnr_db == metrics.SQNR_CAP_DB
    assert not distance.constant


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_one_nan_or_infinity_makes_every_distance_nan(bad: float, side: int) -> None:
    arrays = [np.ones((3, 4)), np.ones((3, 4))]
    arrays[side][1, 2] = bad
    distance = metrics.distance(*arrays)
    assert (distance.nonfinite, distance.worst) == (1, 1)
    assert all(math.isnan(getattr(distance, name)) for name in ("max_abs", "rmse", "cosine", "sqnr_db", "outside"))


def test_numbers_worked_out_by_hand() -> None:
    distance = metrics.distance(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]), tolerance=0.2)
    assert distance.scale == 4
    assert distance.max_abs == 0.25
    assert distance.rmse == pytest.approx(0.125)  # sqrt(0.0625 / 4)
    assert distance.sqnr_db == pytest.approx(10 * math.log10(29))
    assert (distance.outside, distance.worst) == (0.25, 1)
    assert distance.cosine == pytest.approx(1)
    turned = metrics.distance(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert turned.cosine == 0
    zero = metrics.distance(np.zeros((1, 2)), np.ones((1, 2)))
    assert (zero.scale, zero.cosine, zero.sqnr_db) == (1, 0, -metrics.SQNR_CAP_DB)


def test_an_output_that_forgot_its_input_is_constant() -> None:
    reference = np.arange(6.0).reshape(3, 2)
    assert metrics.distance(reference, np.ones((3, 2))).constant
    assert not metrics.distance(np.ones((3, 2)), np.ones((3, 2))).constant
    assert not metrics.distance(reference[:1], np.ones((1, 2))).constant


@pytest.mark.parametrize("shape", [(2, 3), (0,), (3,)])
def test_what_cannot_be_compared_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        metrics.distance(np.zeros(shape), np.zeros((0,) if shape == (0,) else (4, 4)))


TEXTS = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=6)


@UNHURRIED
@given(TEXTS)
def test_text_measures_agree_with_each_other(pairs: list[tuple[str, str]]) -> None:
    reference, texts = [a for a, _ in pairs], [b for _, b in pairs]
    agreement, cer = metrics.agreement(reference, texts), metrics.cer(reference, texts)
    assert (agreement == 1) == (cer == 0) == (reference == texts)
    characters = max(1, sum(map(len, reference)))
    assert cer <= sum(max(len(a), len(b)) for a, b in pairs) / characters
    for a, b in pairs:
        position = metrics.first_difference(a, b)
        assert (position is None) == (a == b)
        if position is not None:
            assert a[:position] == b[:position]
            assert a[position : position + 1] != b[position : position + 1]


def test_cer_counts_edits_over_reference_characters() -> None:
    assert metrics.cer(["house", "cat"], ["hose", "cut"]) == 2 / 8
    assert metrics.cer([""], ["abc"]) == 3


def test_texts_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="1 and 2 texts"):
        metrics.agreement(["a"], ["a", "b"])


def test_words_lost_and_gained_follow_the_way_of_comparing() -> None:
    source, texts, labels = ["Hello!", "cat", "x", "u"], ["hello", "cut", "y", "v"], ["HELLO", "cat", "y", None]
    plain = metrics.paired(source, texts, labels)
    assert (plain.total, plain.source_right, plain.right, plain.lost, plain.gained) == (3, 1, 1, (1,), (2,))
    loose = metrics.paired(source, texts, labels, "alphanumeric")
    assert (loose.source_right, loose.right, loose.lost, loose.gained) == (2, 2, (1,), (2,))
    assert loose.drop == 0


@UNHURRIED
@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    theirs = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert metrics.wilson(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@UNHURRIED
@given(st.integers(0, 60), st.integers(0, 60))
def test_drop_interval_is_the_exact_binomial_one(lost: int, gained: int) -> None:
    total = 150
    low, high = metrics.drop_interval(lost, gained, total)
    assert low <= (lost - gained) / total <= high
    if lost + gained:
        theirs = binomtest(lost, lost + gained).proportion_ci(0.95, method="exact")
        scale = (lost + gained) / total
        assert (low, high) == pytest.approx(((2 * theirs.low - 1) * scale, (2 * theirs.high - 1) * scale), abs=1e-9)
        significant = binomtest(lost, lost + gained).pvalue < 0.05
        assert (low > 0 or high < 0) <= significant  # Clopper-Pearson never claims more than McNemar's exact test
    assert metrics.drop_interval(gained, lost, total) == pytest.approx((-high, -low), abs=1e-9)


@UNHURRIED
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=80))
def test_median_interval_is_scipys_quantile_test(values: list[float]) -> None:
    middle, low, high = metrics.median_interval(values)
    assert low <= middle <= high
    if len(values) < 6:
        assert (low, high) == (-math.inf, math.inf)
    else:
        theirs = quantile_test(values, p=0.5).confidence_interval(0.95)
        assert (low, high) == (theirs.low, theirs.high)


def test_ratio_interval_cancels_a_machine_that_slows_down() -> None:
    drift = np.linspace(1, 3, 40)
    assert metrics.ratio_interval(list(drift * 2), list(drift)) == pytest.approx((2, 2, 2))
    with pytest.raises(ValueError, match="positive"):
        metrics.ratio_interval([1.0, 0.0], [1.0, 1.0])


def test_rounds_that_share_a_cause_are_one_observation() -> None:
    """Of blocks that differ by 8 % and rounds of one block that differ by 2 %, as was seen of interpreters."""
    rng = np.random.default_rng(0)
    tried = 400
    held = {"blocks": 0, "rounds": 0}
    for _ in range(tried):
        times = (np.exp(rng.normal(0, 0.08, 12))[:, None] * np.exp(rng.normal(0, 0.02, (12, 6)))).ravel()
        for name, blocks in (("blocks", [6] * 12), ("rounds", None)):
            _, low, high = metrics.ratio_interval(list(times), [1.0] * len(times), blocks)
            held[name] += low <= 1 <= high
    assert held["blocks"] >= tried * (metrics.CONFIDENCE - 2 * (0.05 * 0.95 / tried) ** 0.5)
    assert held["rounds"] < tried * 0.7


def test_block_medians() -> None:
    assert metrics.block_medians([1.0, 2.0, 9.0, 4.0, 6.0, 5.0], [3, 2, 1]) == [2, 5, 5]
    assert metrics.block_medians([3.0, 1.0]) == [3, 1]
    for blocks in ([3], [1, 1, 1], [2, 0], [3, -1]):
        with pytest.raises(ValueError, match="blocks"):
            metrics.block_medians([1.0, 2.0], blocks)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 1 - 0.05 / 3])
def test_the_interval_of_a_median_is_as_sure_as_was_asked_for(confidence: float) -> None:
    values = list(np.random.default_rng(0).normal(10, 1, 25))
    theirs = quantile_test(values, p=0.5, q=10).confidence_interval(confidence)
    assert metrics.median_interval(values, confidence)[1:] == (theirs.low, theirs.high)
    assert math.isinf(metrics.median_interval(values[:6], 1 - 0.05 / 3)[1])
    assert math.isfinite(metrics.median_interval(values[:7], 1 - 0.05 / 3)[1])


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (0, 1), (1, 1), (3, 2000), (26, 500), (500, 500), (0, 368)])
def test_clopper_pearson(successes: int, trials: int) -> None:
    low, high = metrics.clopper_pearson(successes, trials)
    if not trials:
        assert (low, high) == (0, 1)
        return
    exact = binomtest(successes, trials).proportion_ci(metrics.CONFIDENCE, method="exact")
    assert (low, high) == pytest.approx((exact.low, exact.high))
