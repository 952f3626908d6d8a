"""The questions put to a case: one module a check, each a pure function of evidence and limits.

Importing this package imports no check: pytest's start-up reads the names only.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ocr_conformance.errors import UserError
from ocr_conformance.results import CheckResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocr_conformance.contract import Limits
    from ocr_conformance.evidence import Evidence

RECOGNIZERS = frozenset({"recognizer"})
DETECTORS = frozenset({"detector"})
PIPELINES = frozenset({"pipeline"})
ALL_KINDS = frozenset({"recognizer", "detector", "pipeline"})

SEARCH = "search"
"""The check that is only put where a search was asked for."""


@dataclass(frozen=True)
class Check:
    """One question put to a case.

    Attributes:
        name: what options, records and contracts call it.
        needs: the fields of `Evidence` it reads; the engine gathers what the selected checks need.
        kinds: the kinds of model it can be put to.
        module: the module whose ``check(evidence, limits) -> CheckResult`` answers it. Only ``conversion``
            is called for a case whose artifact did not come about or did not run.
        summary: the question, in one line.
        optional: what of ``needs`` it can do without; without any of the rest it is ``skipped``.
    """

    name: str
    needs: frozenset[str]
    kinds: frozenset[str]
    module: str
    summary: str
    optional: frozenset[str] = frozenset()

    def __call__(self, evidence: Evidence, limits: Limits) -> CheckResult:
        """Put the question; for a case that failed at an earlier stage all but ``conversion`` are ``not-run``."""
        failure = evidence.failure()
        if failure is not None and self.name != "conversion":
            hop, outcome = failure
            reason = f"{hop} failed at {outcome.stage or 'start'} ({outcome.kind}): see conversion"
            return CheckResult(self.name, "not-run", reason)
        for need in sorted(self.needs - self.optional):
            if getattr(evidence, need) is None:
                return CheckResult(self.name, "skipped", f"{need} could not be had here")
        function = importlib.import_module(self.module).check
        return cast("Callable[[Evidence, Limits], CheckResult]", function)(evidence, limits)


CHECKS: dict[str, Check] = {}
"""All checks by name, in the order in which they are run and shown."""


def register(check: Check) -> None:
    """Add a check (other packages call this from their plugin hook).

    Raises:
        UserError: another check has that name.
    """
    if CHECKS.get(check.name, check) != check:
        raise UserError(f"there already is a check named {check.name!r}, from {CHECKS[check.name].module}")
    CHECKS[check.name] = check


_OPTIONAL = {
    "conversion": frozenset({"run"}),
    "accuracy": frozenset({"source", "source_words", "run_words"}),  # no source: of a file that somebody else made
    "size": frozenset({"source", "baseline_inspect"}),
    "ops": frozenset({"xnnpack", "micro"}),
}

for _name, _needs, _kinds, _summary in (
    ("conversion", "run", ALL_KINDS, "does it convert, load and run?"),
    ("mode", "run inspect", ALL_KINDS, "did the quantization mode take effect?"),
    ("signature", "run inputs", ALL_KINDS, "are names, shapes, types and quantization parameters as declared?"),
    ("preprocessing", "run inputs", ALL_KINDS, "does the app's recipe feed what the source library feeds?"),
    ("tensors", "run source", ALL_KINDS, "are the outputs close to the source's, hop by hop?"),
    ("text", "run source", RECOGNIZERS, "does it read the same text as the source?"),
    ("boxes", "run source", DETECTORS, "does it find the same boxes as the source?"),
    ("twin", "run source twin", RECOGNIZERS | DETECTORS, "does the source do what its twin in another framework does?"),
    ("pipeline", "run source source_words run_words cross_words", PIPELINES, "does it find and read the same words?"),
    ("accuracy", "run source source_words run_words", ALL_KINDS, "is it as often right as the source?"),
    (
        "ops",
        "run inspect xnnpack micro",
        ALL_KINDS,
        "which ops and runtime does the file need, and where would it run?",
    ),
    ("size", "run inspect baseline_inspect source", ALL_KINDS, "is the file as small, and as large, as it should be?"),
    ("latency", "run latency", ALL_KINDS, "how fast is it beside the float32 artifact and the source?"),
    ("memory", "run memory", ALL_KINDS, "how much memory do load and invoke take?"),
    ("repeatability", "run repeat", ALL_KINDS, "does the same image give the same output again?"),
    (SEARCH, "run search", ALL_KINDS, "which is the smallest picture that it reads differently? (with --ocr-search)"),
):
    _optional = _OPTIONAL.get(_name, frozenset[str]())
    register(Check(_name, frozenset(_needs.split()), _kinds, f"{__name__}.{_name}", _summary, _optional))

BUILT_IN = frozenset(CHECKS)
"""Those of this package."""
