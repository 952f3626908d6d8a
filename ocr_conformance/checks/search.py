"""Which is the smallest picture that the artifact reads otherwise than the source? And how often does it?

How often is told by independent pictures, with an exact interval; the smallest one is what a hunt has found.
"""

from __future__ import annotations

import base64
from typing import Any

from ocr_conformance import metrics
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, Verdict

_MOST = 1_000_000
"""Examples beyond which nobody will search."""


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Share of independent pictures that are read differently: judged by the ends of its 95 % interval."""
    assert evidence.search is not None
    facts = evidence.search.facts
    if "unopened" in facts:
        return CheckResult("search", "skipped", f"the artifact does not open beside the source: {facts['unopened']}")
    tried, differing = facts["tried"], facts["disagreements"]
    limit = limits.search.disagreement
    low, high = metrics.clopper_pearson(differing, tried)
    values = [
        Value("disagreement", differing / tried if tried else 0.0, limit),
        Value("disagreement_low", low),
        Value("disagreement_high", high),
        Value("tried", tried),
    ]
    message = f"disagreement {differing} of {tried} ({100 * low:.2f} - {100 * high:.2f} %)"
    if limit is not None:
        message += f", limit {100 * limit:.4g} %"
    verdict: Verdict = "passed" if limit is None or high <= limit else "failed" if low > limit else "undecided"
    if verdict == "undecided" and limit is not None:
        message += f", {_needed(differing, tried, limit)}"
    if facts["stopped"]:
        message += f", stopped after {facts['seconds']:.4g} s (--ocr-timeout sets the time)"
    replayed = facts["replayed"]
    if replayed:
        still = sum(each["differs"] for each in replayed)
        message += f"; {still} of {len(replayed)} kept counterexamples still differ"
    found = facts["counterexample"]
    if found is not None:
        message += f"; {_shown(found)} ({evidence.counterexample})"
    else:
        message += f"; none of {facts['hunted']} more pictures differs"
    details = []
    if facts["source_right"] is not None:
        right, lost = facts["source_right"], facts["lost"]
        values += [Value("source_right", right), Value("lost", lost)]
        details.append(f"the source reads {right} of the {tried} as they are written; {lost} of these differ")
    details += [
        _shown(each, "kept counterexample") + ("" if each["differs"] else ": the same now") for each in replayed
    ]
    if found is not None:
        details.append(f"its picture: {_how(found['picture'])}")
    data = {
        "samples": tried,
        "interval": [low, high],
        "hunted": facts["hunted"],
        "counterexample": None if found is None else {**found, **_file(evidence)},
        "replayed": replayed,
        "runtime": facts["runtime"],
    }
    return CheckResult("search", verdict, message, tuple(values), tuple(details), data)


def _file(evidence: Evidence) -> dict[str, str]:
    """Where the picture lies, and the picture itself (PNG, base64): a report is read on other machines, too."""
    path = evidence.counterexample
    if path is None or not path.is_file():
        return {"file": str(path)}
    return {"file": str(path), "png": base64.b64encode(path.read_bytes()).decode("ascii")}


def _needed(differing: int, tried: int, limit: float) -> str:
    """Roughly how many more examples would tell on which side of the limit the share is, if it stays what it is."""
    share = differing / tried if tried else 0.0
    total = max(tried, 8)
    while total < _MOST:
        total += max(1, total // 16)
        low, high = metrics.clopper_pearson(round(share * total), total)
        if low > limit or high <= limit:
            return f"about {float(f'{total - tried:.1g}'):.0f} more examples would settle it"
    return "too near to the limit to be settled by more examples"


def _shown(reading: dict[str, Any], what: str = "") -> str:
    """``smallest counterexample "ab" read "ab" / "a"``: what is written, what the source and the artifact read."""
    if not what:
        what = "smallest counterexample" if reading["shrunk"] else "counterexample (not shrunk to the end)"
    written = " ".join(f'"{word["text"]}"' for word in reading["picture"]["words"]) or "without words"
    if isinstance(reading["source"], str):
        return f"{what} {written} read {_text(reading['source'])} / {_text(reading['artifact'])}"
    ours, theirs = len(reading["source"]), reading["artifact"]
    return f"{what} {written} found {ours} / {'nothing that decodes' if theirs is None else len(theirs)} boxes"


def _text(text: str | None) -> str:
    return "nothing that decodes" if text is None else f'"{text}"'


def _how(picture: dict[str, Any]) -> str:
    """The numbers of a picture that are not 0; see `ocr_conformance.diagnose.render`."""
    parts = [f"{name} {value}" for name, value in picture.items() if isinstance(value, int) and value]
    for word in picture["words"]:
        given = [f"{name} {value}" for name, value in word.items() if isinstance(value, int) and value]
        parts.append(" ".join([f'"{word["text"]}" in {word["face"]}', *given]))
    return ", ".join(parts)
