"""Every defect is caught by its check, and no check complains of the same file without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .library import ALL, Seeded
from .planting import Nursery

CHECKOUT = Path(__file__).parents[2]
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


def test_the_documentation_has_every_defect() -> None:
    page = (CHECKOUT / "docs" / "reliability.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    shown = {tuple(row[:3]) for row in cells if len(row) == 5 and row[0] != "case"}
    assert shown == {(each.case, each.name, each.check) for each in ALL}
    assert f"| {len(ALL)} defects planted" in (CHECKOUT / "README.md").read_text(encoding="utf-8")
