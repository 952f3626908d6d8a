"""Every defect is caught by its check, and no check complains of the same file without it."""

from __future__ import annotations

import pytest

from .library import ALL, Seeded
from .planting import Nursery

CONTROLS = {(each.case, each.check, each.part): each for each in reversed(ALL) if not each.adapter}
"""A row for each case and check: the case is judged without its defect."""


@pytest.mark.parametrize("seeded", ALL, ids=lambda each: each.id)
def test_the_defect_is_caught(nursery: Nursery, seeded: Seeded) -> None:
    result = nursery.judge(seeded, seeded.must)
    assert result.verdict == "failed", result


@pytest.mark.parametrize("control", CONTROLS.values(), ids=lambda each: f"{each.id}-{each.check}")
def test_the_same_file_written_anew_is_not(nursery: Nursery, control: Seeded) -> None:
    result = nursery.judge(control, control.must, planted=False)
    assert result.verdict == "passed", result
