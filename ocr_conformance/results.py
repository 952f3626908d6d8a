"""Verdicts and results: what a check says, in a form that a record, a table and an assertion message share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any, Literal

Verdict = Literal["passed", "failed", "undecided", "unsupported", "not-run", "skipped"]
VERDICTS: tuple[Verdict, ...] = ("passed", "failed", "undecided", "unsupported", "not-run", "skipped")
JUDGED: tuple[Verdict, ...] = ("passed", "failed", "undecided", "unsupported")
"""The verdicts that count as judged; a run without any of them proved nothing."""


@dataclass(frozen=True)
class Value:
    """One measured number beside its limit.

    ``limit`` is ``None`` where the contract sets none (the value is shown, not judged). ``most``: the value must not be
    above the limit; otherwise it must not be below.
    """

    name: str
    measured: float
    limit: float | None = None
    most: bool = True
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether the value keeps to its limit. NaN never does."""
        if self.limit is None:
            return True
        return self.measured <= self.limit if self.most else self.measured >= self.limit


@dataclass(frozen=True)
class CheckResult:
    """What one check says of one case.

    Attributes:
        verdict: see DESIGN words.
        message: one line: the finding first, then the smallest limit that would have passed.
        values: measured numbers beside their limits.
        details: further lines (a hop table, differing texts) for whoever reads on.
        data: anything a report wants to show that is no single number; JSON-able.
        seconds: wall time of the jobs that it read.
    """

    check: str
    verdict: Verdict
    message: str
    values: tuple[Value, ...] = ()
    details: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CheckResult:
        """The inverse of `to_json`."""
        values = tuple(Value(**value) for value in data["values"])
        return cls(**{**data, "values": values, "details": tuple(data["details"])})


def tightest(measured: float, most: bool = True) -> str:
    """The tightest limit of four significant digits that a finite ``measured`` keeps to, in decimals for a contract.

    Rounded outwards: up where the limit is the ``most`` that is allowed, down where it is the least.
    """
    context = Context(prec=4, rounding=ROUND_CEILING if most else ROUND_FLOOR)
    # From the shortest decimal form, which reads back as the same float: 0.07 needs no 0.07001.
    limit = context.create_decimal(repr(float(measured))).normalize()
    return f"{limit:f}" if abs(limit) >= 1 else f"{float(limit):.4g}"


def judge(check: str, values: list[Value], summary: str, details: list[str] | None = None, **data: Any) -> CheckResult:
    """Pass when every value keeps to its limit; otherwise fail and name the smallest limits that would have passed."""
    broken = [value for value in values if not value.holds]
    if not broken:
        return CheckResult(check, "passed", summary, tuple(values), tuple(details or ()), data)
    needed = ", ".join(
        f"{value.name} {value.measured:.4g}{value.unit} {'>' if value.most else '<'} {value.limit:.4g}{value.unit}"
        for value in broken
    )
    if all(math.isfinite(value.measured) for value in broken):
        smallest = ", ".join(f"{value.name} = {tightest(value.measured, value.most)}" for value in broken)
    else:
        smallest = "none would have"  # a contract's limits are finite
    message = f"{summary}: {needed} (the tightest that would have passed: {smallest})"
    return CheckResult(check, "failed", message, tuple(values), tuple(details or ()), data)
