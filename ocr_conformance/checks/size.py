"""Is the file as small as promised, and as large as its weights need?"""

from __future__ import annotations

from ocr_conformance.checks import _words
from ocr_conformance.contract import Limits
from ocr_conformance.evidence import Evidence
from ocr_conformance.results import CheckResult, Value, judge

_SLACK = 0.8
"""A file below this share of its budget asks for a tighter one."""


def check(evidence: Evidence, limits: Limits) -> CheckResult:
    """Bytes against the budget, the ratio to the float32 artifact, and stored weight bytes per value of the source.

    A quantized file must be smaller than the float32 one even where the contract sets no ratio. Too few bytes per
    value: weights were lost (FACTS, section 3: 92 kB of 1.7 MB).
    """
    assert evidence.inspect is not None
    count, stored = evidence.inspect.facts["bytes"], evidence.inspect.facts["weights"]["bytes"]
    wanted = limits.size
    values = [Value("bytes", count, wanted.bytes, unit=" B")]
    summary = _words.size(count)
    baseline = evidence.baseline_inspect
    if evidence.case.mode != "float32":
        if baseline is not None and baseline.ok:
            ratio = count / baseline.facts["bytes"]
            values.append(Value("ratio", ratio, wanted.ratio if wanted.ratio is not None else 1.0))
            summary += f", {ratio:.2f} of float32"
        else:
            summary += ", no float32 artifact to compare with"
    summary += f", {_words.size(stored)} of it weights"
    if evidence.source is not None and evidence.source.facts["parameters"]:  # a model may have no weights at all
        parameters = evidence.source.facts["parameters"]
        per_parameter = stored / parameters
        values.append(Value("bytes_per_parameter", per_parameter, wanted.bytes_per_parameter, most=False, unit=" B"))
        summary += f" ({per_parameter:.2f} B for each of {parameters:,} values)"
    if wanted.bytes is not None and count < _SLACK * wanted.bytes:
        summary += f"; well below the budget of {_words.size(wanted.bytes)}: tighten it"
    return judge("size", values, summary)
