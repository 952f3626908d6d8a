"""The conversion check tells where, how and with which last words a case failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ocr_conformance.checks import CHECKS
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence, Hop, Outcome, OutcomeKind

MakeEvidence = Callable[..., Evidence]

SEGFAULT = Outcome("signal", "convert", "SIGSEGV", ("last words",), seconds=12.3, peak_bytes=2 * 10**9, seen=1e9)


def test_passed_says_what_was_made_at_what_cost(reading: MakeEvidence) -> None:
    result = CHECKS["conversion"](reading([[1.0]], [[1.0]]), Limits())
    assert result.verdict == "passed"
    assert result.message == "saved-model -> tf-lite(int8) in 4.0 s, peak 100 MB; runs on litert"
    assert {value.name: value.measured for value in result.values}["cpu_seconds"] == 4.5


@pytest.mark.parametrize("kind", ["exception", "signal", "timeout", "memory", "exit"])
def test_failed_names_hop_stage_kind_and_last_words(reading: MakeEvidence, kind: OutcomeKind) -> None:
    evidence = reading([[1.0]], [[1.0]])
    evidence.hops = (evidence.hops[0], Hop("tf-lite(int8)", replace(SEGFAULT, kind=kind)))
    evidence.run = None
    result = CHECKS["conversion"](evidence, Limits())
    assert result.verdict == "failed"
    assert result.message.startswith("tf-lite(int8) ")
    assert "SIGSEGV (stage convert, after 12.3 s, peak 2 GB)" in result.message
    assert result.details == ("last words",)
    assert (result.data["kind"], result.data["stage"]) == (kind, "convert")


@pytest.mark.parametrize(
    ("stage", "message", "details"),
    [
        ("source", "ValueError: weights mine.pth: no 'fc'", ()),  # what an adapter says of the user's file is enough
        ("source", "Changed: the image a.png changed while the run was planned; run again", ()),
        ("source", "AttributeError: 'Net' has no 'fc'", ("last words",)),
        ("export", "ValueError: the model declares 2 outputs", ("last words",)),
    ],
)
def test_what_an_adapter_says_of_a_user_s_file_comes_without_its_traceback(
    reading: MakeEvidence, stage: str, message: str, details: tuple[str, ...]
) -> None:
    evidence = reading([[1.0]], [[1.0]])
    failed = replace(SEGFAULT, kind="exception", stage=stage, message=message)
    evidence.hops, evidence.run = (Hop("litert-torch", failed),), None
    assert CHECKS["conversion"](evidence, Limits()).details == details


def test_an_artifact_that_does_not_run_is_a_failed_conversion(reading: MakeEvidence) -> None:
    evidence = reading([[1.0]], [[1.0]])
    evidence.run = replace(SEGFAULT, kind="exception", stage="invoke", message="RuntimeError: variable != nullptr")
    result = CHECKS["conversion"](evidence, Limits())
    assert result.verdict == "failed"
    assert "variable != nullptr (stage invoke" in result.message


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "conversion"])
def test_every_other_check_is_then_not_run(reading: MakeEvidence, name: str) -> None:
    evidence = reading([[1.0]], [[1.0]])
    evidence.run = SEGFAULT
    result = CHECKS[name](evidence, Limits())
    assert (result.verdict, result.message) == ("not-run", "run failed at convert (signal): see conversion")


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if check.needs - {"run", "source"}])
def test_evidence_that_could_not_be_had_is_skipped(reading: MakeEvidence, name: str) -> None:
    assert CHECKS[name](reading([[1.0]], [[1.0]]), Limits()).verdict == "skipped"
