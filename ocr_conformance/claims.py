"""Hold a result against the contract's claims of what is unsupported: red when it fails otherwise, or not at all."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocr_conformance.cases import Case
from ocr_conformance.results import CheckResult

if TYPE_CHECKING:
    from ocr_conformance.contract import Unsupported
    from ocr_conformance.evidence import Outcome


def apply_claims(
    case: Case,
    result: CheckResult,
    failure: tuple[str, Outcome] | None,
    claims: Sequence[Unsupported],
    seen: float = 0.0,
) -> CheckResult:
    """The result of one check in the light of the claims in force for its case.

    Args:
        failure: the hop that failed and how (`Evidence.failure`); what a claim on a stage is held against.
        claims: `Contract.claims` of the case, of any check, in file order: the last that names the check counts.
        seen: seconds since the epoch when the evidence of a check was really gathered (0: not known); of a stage the
            failure itself knows.

    Returns:
        ``result`` where no claim names its check, or where it says nothing either way (``not-run``, ``skipped``,
        ``undecided``). Otherwise ``unsupported`` when it failed as claimed, and ``failed`` when it failed in another
        way or passed.
    """
    claim = next((claim for claim in reversed(claims) if result.check in claim.checks), None)
    if claim is None or result.verdict not in ("passed", "failed"):
        return result
    data = {**result.data, "claim": {"where": claim.where, "claimed": claim.claimed, "why": claim.why}}
    if claim.issue:
        data["claim"]["issue"] = claim.issue
    if result.verdict == "passed":
        message = (
            f"works although {claim.where} claims it does not ({claim.claimed}): delete the entry, "
            f"or narrow it so that it no longer selects {case}; {result.message}"
        )
        return dataclasses.replace(result, verdict="failed", message=message, data=data)
    difference = _stage_difference(claim, failure) if claim.stage is not None else _check_difference(claim, result)
    if difference:
        message = f"fails otherwise than {claim.where} claims ({claim.claimed}): {difference}; {result.message}"
        return dataclasses.replace(result, verdict="failed", message=message, data=data)
    issue = f"; {claim.issue}" if claim.issue else ""
    when = failure[1].seen if failure is not None else seen
    last = f"; last seen {_day(when)}" if when else ""
    message = f"{claim.why} [{result.message}{issue}{last}]"
    return dataclasses.replace(result, verdict="unsupported", message=message, data=data)


def _stage_difference(claim: Unsupported, failure: tuple[str, Outcome] | None) -> str:
    """How the failure differs from the claimed one; empty when it does not."""
    if failure is None:
        return "no stage failed"
    _, outcome = failure
    if outcome.stage != claim.stage:
        return f"it failed at {outcome.stage or 'the start'}, not at {claim.stage}"
    if outcome.kind not in claim.kind:
        return f"it ended by {outcome.kind}, not by {' or '.join(claim.kind)}"
    if claim.match and not re.search(claim.match, "\n".join((outcome.message, *outcome.tail))):
        return f"its last words do not match /{claim.match}/"
    return ""


def _check_difference(claim: Unsupported, result: CheckResult) -> str:
    if claim.match and not re.search(claim.match, "\n".join((result.message, *result.details))):
        return f"the message does not match /{claim.match}/"
    if claim.value is not None:
        measured = next((value.measured for value in result.values if value.name == claim.value.name), None)
        if measured is None:
            names = ", ".join(value.name for value in result.values) or "none"
            return f"there is no value {claim.value.name} (values: {names})"
        if not claim.value.holds(measured):
            return f"{claim.value.name} is {measured:.4g}"
    return ""


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
