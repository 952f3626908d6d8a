"""Does it convert, load and run? A failure says where, how and with which last words."""

from __future__ import annotations

import itertools

from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence, Outcome
from ocr_conformance.results import CheckResult, Value

_KINDS = {
    "exception": "raised",
    "signal": "was killed by",
    "timeout": "ran out of time:",
    "memory": "ran out of memory:",
    "exit": "left without a result:",
}


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """``failed`` with stage, kind and message of the first hop (or run of the artifact) that did not end well."""
    failure = evidence.failure()
    outcomes = [hop.outcome for hop in evidence.hops] + ([evidence.run] if evidence.run is not None else [])
    values = _cost(outcomes)
    if failure is not None:
        hop, outcome = failure
        stage = outcome.stage or "start"
        message = (
            f"{hop} {_KINDS[outcome.kind]} {outcome.message or 'no message'} "
            f"(stage {stage}, after {outcome.seconds:.1f} s, peak {_words.size(outcome.peak_bytes)})"
        )
        data = {"hop": hop, "stage": stage, "kind": outcome.kind, "outcome": outcome.message, "seen": outcome.seen}
        # What an adapter says of the user's weights or images is one sentence; the way there is of no use to him.
        said = outcome.stage == "source" and outcome.message.startswith(("ValueError: ", "Changed: "))
        tail = () if said else outcome.tail
        if evidence.case.route == "file":  # the runtime's lines say what ails a file; how we came to load it does not
            tail = tuple(itertools.takewhile(lambda line: not line.startswith("Traceback"), tail))
        return CheckResult("conversion", "failed", message, values, tail, data)
    if not evidence.hops and evidence.run is None:
        return CheckResult("conversion", "skipped", "nothing was converted or run")
    done = []
    if evidence.hops:
        seconds = sum(hop.outcome.seconds for hop in evidence.hops)
        peak = max(hop.outcome.peak_bytes for hop in evidence.hops)
        chain = " -> ".join(hop.name for hop in evidence.hops)
        done.append(f"{chain} in {seconds:.1f} s, peak {_words.size(peak)}")
    if evidence.run is not None:
        done.append(f"runs on {evidence.run.facts.get('runtime', 'the runtime')}")
    details = tuple(
        f"{hop.name}: {hop.outcome.seconds:.1f} s ({hop.outcome.cpu_seconds:.1f} s of processor), "
        f"peak {_words.size(hop.outcome.peak_bytes)}"
        for hop in evidence.hops
    )
    return CheckResult("conversion", "passed", "; ".join(done), values, details)


def _cost(outcomes: list[Outcome]) -> tuple[Value, ...]:
    return (
        Value("seconds", sum(outcome.seconds for outcome in outcomes), unit=" s"),
        Value("cpu_seconds", sum(outcome.cpu_seconds for outcome in outcomes), unit=" s"),
        Value("peak_bytes", max((outcome.peak_bytes for outcome in outcomes), default=0), unit=" B"),
    )
