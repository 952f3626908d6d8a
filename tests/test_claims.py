"""A claim is tested: unsupported only when the case fails as it says, red when it fails otherwise or works."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ocr_conformance.cases import Case
from ocr_conformance.claims import apply_claims
from ocr_conformance.contract import Unsupported, from_dict
from ocr_conformance.evidence import Outcome
from ocr_conformance.results import CheckResult, Value, Verdict

CASE = Case("m", "", "tf-lite", "int8", "modern")
SEGFAULT = Outcome("signal", "convert", "SIGSEGV", ("F0000 calibrator.cc: oh no",), seen=1_700_000_000.0)
FAILED = CheckResult("conversion", "failed", "tf-lite(int8) was killed by SIGSEGV")
GARBAGE = CheckResult("text", "failed", "agreement 0.02 < 0.8", (Value("agreement", 0.02, 0.8, most=False),))


def claim(**keys: Any) -> Unsupported:
    return Unsupported(**{"why": "the calibrator crashes", **keys})


STAGE = {"stage": "convert", "kind": "signal"}


def test_a_stage_that_fails_as_claimed_is_unsupported() -> None:
    found = claim(**STAGE, match="SIGSEGV", issue="https://github.com/x/y/issues/1")
    result = apply_claims(CASE, FAILED, ("tf-lite(int8)", SEGFAULT), [found])
    assert result.verdict == "unsupported"
    assert result.message == (
        "the calibrator crashes [tf-lite(int8) was killed by SIGSEGV; https://github.com/x/y/issues/1; "
        "last seen 2023-11-14]"
    )
    assert result.data["claim"]["issue"] == "https://github.com/x/y/issues/1"


def test_the_last_lines_of_the_process_can_be_matched() -> None:
    result = apply_claims(CASE, FAILED, ("hop", SEGFAULT), [claim(**STAGE, match=r"calibrator\.cc")])
    assert result.verdict == "unsupported"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"stage": "allocate", "kind": "signal"}, "it failed at convert, not at allocate"),
        ({"stage": "convert", "kind": "timeout"}, "it ended by signal, not by timeout"),
        ({**STAGE, "match": "SIGABRT"}, "its last words do not match /SIGABRT/"),
    ],
)
def test_a_stage_that_fails_otherwise_is_red_and_says_both(keys: dict[str, str], words: str) -> None:
    result = apply_claims(CASE, FAILED, ("tf-lite(int8)", SEGFAULT), [claim(**keys)])
    assert result.verdict == "failed"
    assert words in result.message
    assert "claims (" in result.message
    assert FAILED.message in result.message


def test_a_case_that_works_although_claimed_is_red_and_asks_to_delete_the_entry() -> None:
    found = claim(**STAGE)
    found._where = "models/m/contract.toml:12"
    result = apply_claims(CASE, CheckResult("conversion", "passed", "runs"), None, [found])
    assert result.verdict == "failed"
    assert "works although models/m/contract.toml:12 claims it does not" in result.message
    assert "delete the entry" in result.message


def test_a_check_out_of_tolerance_as_claimed_is_unsupported_with_its_number() -> None:
    found = claim(check=["text", "tensors"], why="reads garbage", value={"name": "agreement", "at_most": 0.3})
    result = apply_claims(CASE, GARBAGE, None, [found], seen=1_700_000_000.0)
    assert result.verdict == "unsupported"
    assert result.message == "reads garbage [agreement 0.02 < 0.8; last seen 2023-11-14]"
    assert result.values == GARBAGE.values


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"value": {"name": "agreement", "at_most": 0.01}}, "agreement is 0.02"),
        ({"value": {"name": "agreement", "at_least": 0.1}}, "agreement is 0.02"),
        ({"value": {"name": "cosine", "at_most": 0.3}}, "there is no value cosine (values: agreement)"),
        ({"match": "NaN"}, "the message does not match /NaN/"),
    ],
)
def test_a_check_that_fails_otherwise_is_red(keys: dict[str, Any], words: str) -> None:
    result = apply_claims(CASE, GARBAGE, None, [claim(check="text", **keys)])
    assert result.verdict == "failed"
    assert words in result.message


def test_a_nan_is_not_what_a_bound_claims() -> None:
    nan = replace(GARBAGE, values=(Value("agreement", float("nan"), 0.8, most=False),))
    found = claim(check="text", value={"name": "agreement", "at_most": 0.3})
    assert apply_claims(CASE, nan, None, [found]).verdict == "failed"


def test_each_named_check_must_fail() -> None:
    found = claim(check=["text", "tensors"])
    assert apply_claims(CASE, CheckResult("tensors", "passed", "close"), None, [found]).verdict == "failed"


@pytest.mark.parametrize("verdict", ["not-run", "skipped", "undecided"])
def test_what_says_nothing_either_way_stays(verdict: Verdict) -> None:
    result = CheckResult("text", verdict, "nothing known")
    assert apply_claims(CASE, result, ("tf-lite(int8)", SEGFAULT), [claim(check="text")]) is result


def test_a_claim_on_another_check_changes_nothing() -> None:
    assert apply_claims(CASE, GARBAGE, None, [claim(check="tensors"), claim(**STAGE)]) is GARBAGE


def test_of_several_claims_on_a_check_the_last_in_the_file_is_held() -> None:
    found = from_dict(
        {
            "schema": 1,
            "model": {"name": "m", "framework": "f", "summary": "s", "adapter": "model.py:M", "routes": ["tf-lite"]},
            "weights": {"seeded": {"recipe": "m 1"}},
            "unsupported": [
                {"check": ["text", "tensors"], "match": "agreement", "why": "reads garbage"},
                {"check": "text", "mode": "int8", "value": {"name": "agreement", "at_most": 0.01}, "why": "worse"},
            ],
        },
        "contract of m",
    )
    claims = found.claims(CASE, {})
    assert [one.why for one in claims] == ["reads garbage", "worse"]  # the first still has a say on tensors
    result = apply_claims(CASE, GARBAGE, None, claims)
    assert result.verdict == "failed"  # the first would have called it unsupported
    assert "fails otherwise than contract of m, [[unsupported]] 2 claims" in result.message
    tensors = replace(GARBAGE, check="tensors")
    assert apply_claims(CASE, tensors, None, claims).message.startswith("reads garbage [")
