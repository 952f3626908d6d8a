"""Re-baselining: head-room, exact entries, comments kept; nothing loosened without a reason, no failing case."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_conformance import contract
from ocr_conformance.cases import Case
from ocr_conformance.errors import UserError
from ocr_conformance.rebaseline import Measured, limits_of, update
from ocr_conformance.results import CheckResult, Value, Verdict

BASE = """\
schema = 1
[model]
name = "m"  # the name
framework = "keras"
summary = "a model"
adapter = "model.py:M"
routes = ["tf-lite", "litert-quantizer"]
[weights.seeded]
recipe = "m seeded 1"

# What int8 promises.
[[promise]]
route = "tf-lite"
mode = "int8"
size = { bytes = 2000, ratio = 0.5 }  # measured on a Monday
text = { agreement = 0.9 }
"""
INT8 = Case("m", "", "tf-lite", "int8", "modern")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "contract.toml"
    found.write_text(BASE)
    return found


def size(count: float, verdict: Verdict = "passed") -> CheckResult:
    return CheckResult("size", verdict, "", (Value("bytes", count), Value("ratio", 0.3)))


def text(agreement: float, samples: int = 64) -> CheckResult:
    values = (Value("agreement", agreement, 0.9, most=False), Value("cer", 0.01), Value("lost", 0.0))
    return CheckResult("text", "passed", "", values, data={"samples": samples})


def test_an_exact_entry_is_changed_in_place_and_comments_stay(path: Path) -> None:
    result = update(path, [Measured(INT8, (size(1000),))], write=True)
    assert "-size = { bytes = 2000, ratio = 0.5 }  # measured on a Monday" in result.diff
    assert "+size = { bytes = 1050, ratio = 0.5 }  # measured on a Monday" in result.diff
    assert path.read_text() == BASE.replace("2000", "1050")
    assert update(path, [Measured(INT8, (size(1000),))]) == type(result)("", ())


def test_nothing_is_written_unless_asked(path: Path) -> None:
    assert update(path, [Measured(INT8, (size(1000),))]).diff
    assert path.read_text() == BASE


def test_another_case_gets_an_entry_behind_the_last(path: Path) -> None:
    other = Case("m", "", "litert-quantizer", "int8", "modern")
    update(path, [Measured(other, (size(1000),))], write=True)
    assert path.read_text().startswith(BASE)
    found = contract.load(path)
    assert found.limits(other, {}).size.bytes == 1050
    assert found.limits(INT8, {}).size.bytes == 2000


def test_a_later_entry_that_has_the_last_word_is_not_written_over(path: Path) -> None:
    path.write_text(BASE + '\n[[promise]]\nmode = "int8"\nsize = { bytes = 1900 }\n')
    update(path, [Measured(INT8, (size(1000),))], write=True)
    found = contract.load(path)
    assert found.limits(INT8, {}).size.bytes == 1050
    assert [promise.size.bytes for promise in found.promise if promise.size] == [2000, 1900, 1050]


def test_a_limit_that_would_become_looser_is_kept_and_said(path: Path) -> None:
    result = update(path, [Measured(INT8, (size(1990),))])
    assert result.diff == ""
    assert result.kept == (f"{INT8}: size.bytes stays at 2000 (2090 would be looser)",)
    result = update(path, [Measured(INT8, (text(0.905),))])  # 0.889 with one sample less
    assert any("text.agreement stays at 0.9" in line for line in result.kept)


def test_a_reason_loosens_and_stands_in_the_entry(path: Path) -> None:
    update(path, [Measured(INT8, (size(1990),))], because="the new converter aligns buffers", write=True)
    found = contract.load(path)
    assert found.limits(INT8, {}).size.bytes == 2090
    assert found.promise[0].because == "the new converter aligns buffers"


@pytest.mark.parametrize("verdict", ["failed", "undecided", "not-run"])
def test_what_did_not_pass_is_never_baselined(path: Path, verdict: Verdict) -> None:
    with pytest.raises(UserError, match=f"size is {verdict}: only what passes can be baselined"):
        update(path, [Measured(INT8, (text(0.95), size(10, verdict)))], because="please", write=True)
    assert path.read_text() == BASE


def test_toolchains_share_an_entry_and_the_loosest_counts(path: Path) -> None:
    older = Case("m", "", "tf-lite", "int8", "tf215")
    update(path, [Measured(INT8, (size(1000),)), Measured(older, (size(1200),))], write=True)
    assert contract.load(path).limits(INT8, {}).size.bytes == 1260


def test_what_the_numbers_belong_to_is_written_down(path: Path) -> None:
    day = datetime.date(2026, 11, 22)
    update(path, [], weights_sha256="a" * 64, toolchain="modern", date=day, write=True)
    measured = contract.load(path).measured
    assert measured is not None
    assert (measured.weights_sha256, measured.toolchain, measured.date) == ("a" * 64, "modern", day)


def test_variants_do_not_share_entries(path: Path) -> None:
    path.write_text(BASE.replace("[weights", "[variants.v]\nsummary = 'v'\n[weights"))
    case = Case("m", "v", "tf-lite", "int8", "modern")
    update(path, [Measured(case, (size(1000),))], write=True)
    found = contract.load(path)
    assert (found.limits(case, {}).size.bytes, found.limits(INT8, {}).size.bytes) == (1050, 2000)


SHARES = st.floats(0, 1)
MEASURES = st.fixed_dictionaries(
    {
        "max_abs": SHARES,
        "cosine": st.floats(-1, 1),
        "sqnr_db": st.floats(-200, 200),
        "agreement": SHARES,
        "cer": st.floats(0, 3),
        "lost": SHARES,
        "bytes": st.integers(1, 10**9),
        "recall": SHARES,
        "mean_iou": SHARES,
        "same": SHARES,
        "invented": SHARES,
    }
)
LEAST = {"cosine", "sqnr_db", "agreement", "recall", "mean_iou", "same"}


@settings(deadline=None)
@given(MEASURES)
def test_what_was_measured_keeps_to_what_is_written(measured: dict[str, float]) -> None:
    tables = {
        "tensors": ("max_abs", "cosine", "sqnr_db"),
        "text": ("agreement", "cer", "lost"),
        "size": ("bytes",),
        "boxes": ("recall", "mean_iou"),
        "pipeline": ("same", "cer", "lost", "invented"),
    }
    for table, names in tables.items():
        values = tuple(Value(name, measured[name], most=name not in LEAST) for name in names)
        limits = limits_of(CheckResult(table, "passed", "", values, data={"samples": 64}))[table]
        assert set(limits) == set(names)
        for value in values:
            assert Value(value.name, value.measured, limits[value.name], value.most).holds, (value, limits)
        contract.Promise.model_validate({table: limits})  # no impossible number


def test_a_new_entry_stands_before_the_heading_of_the_next_part(path: Path) -> None:
    path.write_text(BASE + "\n# --- claims ---\n\n[[unsupported]]\nmode = 'int8'\ncheck = 'text'\nwhy = 'garbage'\n")
    other = Case("m", "", "tf-lite", "float16", "modern")
    diff = update(path, [Measured(other, (size(1000),))], write=True).diff
    text = path.read_text()
    assert text.index('mode = "float16"') < text.index("# --- claims ---") < text.index("[[unsupported]]")
    assert not any(line.startswith("-") for line in diff.splitlines()[2:])
    assert "\n\n\n" not in text


def test_a_source_that_finds_nothing_has_limits_too() -> None:
    values = (Value("recall", 1.0, most=False), Value("mean_iou", 1.0, most=False))
    limits = limits_of(CheckResult("boxes", "passed", "", values, data={"samples": 0}))
    assert limits == {"boxes": {"recall": 0.0, "mean_iou": 0.99999}}


def test_a_share_of_boxes_that_falls_is_looser(path: Path) -> None:
    def boxes(recall: float) -> CheckResult:
        values = (Value("recall", recall, most=False),)
        return CheckResult("boxes", "passed", "", values, data={"samples": 100})

    update(path, [Measured(INT8, (boxes(0.95),))], write=True)
    assert contract.load(path).limits(INT8, {}).boxes.recall == 0.94
    update(path, [Measured(INT8, (boxes(0.99),))], write=True)
    assert contract.load(path).limits(INT8, {}).boxes.recall == 0.98
    kept = update(path, [Measured(INT8, (boxes(0.9),))], write=True).kept
    assert contract.load(path).limits(INT8, {}).boxes.recall == 0.98 and len(kept) == 1


def test_a_drop_has_room_for_one_sample_more() -> None:
    data = {"labels": 64, "interval": {"drop": [0.0, 0.0]}}
    limits = limits_of(CheckResult("accuracy", "passed", "", (Value("drop", 0.0),), data=data))
    assert limits == {"accuracy": {"drop": 0.016}}  # one of 64 lost: an interval up to 0.015625


def test_numbers_of_some_weights_stay_with_them_where_the_contract_tells_weights_apart(path: Path) -> None:
    path.write_text(BASE + "\n[[promise]]\nmode = 'float16'\nweights = 'seeded'\ntext = { agreement = 0.5 }\n")
    measured = [Measured(INT8, (size(1000),), weights="seeded")]
    assert '+weights = "seeded"' in update(path, measured, write=True).diff
    found = contract.load(path)
    assert found.limits(INT8, {}, weights="seeded").size.bytes == 1050
    assert found.limits(INT8, {}, weights="mine.npz").size.bytes == 2000
    update(path, [Measured(INT8, (size(900),), weights="seeded")], write=True)  # in place
    assert len(contract.load(path).promise) == len(found.promise)


def test_numbers_of_weights_that_the_contract_does_not_know_are_for_them_only(path: Path) -> None:
    update(path, [Measured(INT8, (size(1000),), weights="mine [2].npz")], write=True)
    found = contract.load(path)
    assert found.limits(INT8, {}, weights="mine [2].npz").size.bytes == 1050
    assert found.limits(INT8, {}, weights="seeded").size.bytes == 2000


def test_numbers_of_the_only_weights_are_for_every_weights(path: Path) -> None:
    update(path, [Measured(INT8, (size(1000),), weights="seeded")], write=True)
    assert path.read_text() == BASE.replace("2000", "1050")
