"""The tensors check: per hop, per output, with the worst sample; NaN, shapes and constant outputs always fail."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ocr_conformance.checks.tensors import check
from ocr_conformance.contract import Limits, TensorLimits
from ocr_conformance.evidence import Evidence

MakeEvidence = Callable[..., Evidence]

SOURCE = np.array([[1.0, 0.0], [0.0, 4.0], [2.0, 2.0]])


def limits(**keys: float) -> Limits:
    return Limits(tensors=TensorLimits(**keys))


def shifted(by: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    array = SOURCE.copy()
    array[1, 0] += by
    return array


def test_within_every_limit_passes(reading: MakeEvidence) -> None:
    result = check(reading(SOURCE, shifted(0.4)), limits(max_abs=0.11, cosine=0.99, sqnr_db=20, outside=0))
    assert result.verdict == "failed"  # tolerance 0: one element of six is outside
    result = check(
        reading(SOURCE, shifted(0.4)), limits(max_abs=0.11, cosine=0.99, sqnr_db=20, outside=0, tolerance=0.11)
    )
    assert result.verdict == "passed"
    assert "worst for word-1.png" in result.message


def test_the_limit_itself_still_passes_and_the_message_says_which_would(reading: MakeEvidence) -> None:
    assert check(reading(SOURCE, shifted(1)), limits(max_abs=0.25)).verdict == "passed"
    result = check(reading(SOURCE, shifted(1)), limits(max_abs=0.2))
    assert result.verdict == "failed"
    assert "max_abs 0.25 > 0.2 (the tightest that would have passed: max_abs = 0.25)" in result.message


def test_without_limits_nothing_is_judged_but_all_is_shown(reading: MakeEvidence) -> None:
    result = check(reading(SOURCE, shifted(100)), Limits())
    assert result.verdict == "passed"
    assert {value.name for value in result.values} >= {"max_abs", "rmse", "cosine", "sqnr_db", "outside"}


def test_the_hop_that_broke_it_is_named(reading: MakeEvidence) -> None:
    wanted = limits(max_abs=0.2)
    in_the_converter = check(reading(SOURCE, shifted(1.6)), wanted)
    assert in_the_converter.details[0] == "source -> saved-model 0 ok | saved-model -> tf-lite(int8) 0.4 FAILED"
    in_the_export = check(reading(SOURCE, shifted(1.6), between=shifted(1.6)), wanted)
    assert in_the_export.details[0] == "source -> saved-model 0.4 FAILED | saved-model -> tf-lite(int8) 0 ok"


def test_nan_fails_without_any_limit(reading: MakeEvidence) -> None:
    result = check(reading(SOURCE, shifted(math.nan)), Limits())
    assert result.verdict == "failed"
    assert "1 numbers of softmax are NaN or infinite in the artifact, first for word-1.png" in result.message
    assert "FAILED" in result.details[0]
    assert "source and artifact" in check(reading(shifted(math.inf), SOURCE), Limits()).message


def test_nan_in_one_output_is_not_hidden_by_another(reading: MakeEvidence) -> None:
    good, bad = {"a": SOURCE, "b": SOURCE}, {"a": SOURCE, "b": shifted(math.nan)}
    for order in (("a", "b"), ("b", "a")):
        result = check(reading({k: good[k] for k in order}, {k: bad[k] for k in order}), limits(max_abs=1))
        assert result.verdict == "failed"
        assert all(math.isnan(value.measured) for value in result.values)


def test_the_worst_output_counts(reading: MakeEvidence) -> None:
    result = check(reading({"a": SOURCE, "b": SOURCE}, {"a": SOURCE, "b": shifted(1)}), limits(max_abs=0.2))
    assert result.verdict == "failed"
    assert "worst for b, word-1.png" in result.message


def test_the_worst_cosine_of_all_outputs_counts(reading: MakeEvidence) -> None:
    turned = {"a": SOURCE, "b": SOURCE[:, ::-1]}
    assert check(reading({"a": SOURCE, "b": SOURCE}, turned), limits(cosine=0.5)).verdict == "failed"


def test_an_output_of_another_shape_or_name_fails(reading: MakeEvidence) -> None:
    result = check(reading(SOURCE, SOURCE[:, :1]), Limits())
    assert result.message == "softmax has shape [3, 1] in the artifact and [3, 2] in the source (samples first)"
    assert result.verdict == "failed"
    result = check(reading({"a": SOURCE}, {"b": SOURCE}), Limits())
    assert (result.verdict, result.message) == ("failed", "the source gives a, the artifact b")


def test_an_output_that_forgot_the_image_fails(reading: MakeEvidence) -> None:
    result = check(reading(SOURCE, np.ones((3, 2))), Limits())
    assert result.verdict == "failed"
    assert "no longer depends on the input" in result.message
