"""The conformance suite. In a repository of your own: ``from ocr_conformance.suite import *`` in a test file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocr_conformance.cases import Case

__all__ = ["test_conformance"]


def test_conformance(ocr_case: Case, ocr_check: str, ocr_judge: Callable[[Case, str], None]) -> None:
    """The converted model keeps what its contract promises."""
    ocr_judge(ocr_case, ocr_check)
