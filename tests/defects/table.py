"""The table of seeded defects: ``python -m tests.defects.table`` in the checkout, in an environment that has `modern`.

A row a defect: the check that must catch it, whether it does, and the smallest size that it catches. With
``--every-check`` also which others catch it (but for latency and memory, which would have the machine to themselves for
each). Markdown on standard output; status 1 where a defect is missed.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ocr_conformance.conformance import default_cache

from .library import ALL, Seeded
from .planting import Nursery

COSTS = ("latency", "memory")


@dataclass
class Row:
    """What was found of a defect."""

    seeded: Seeded
    verdicts: dict[float, str] = field(default_factory=dict)
    """Of its check, by size."""
    others: dict[str, str] = field(default_factory=dict)
    """Of the other checks, at the size that must be caught."""
    messages: dict[float, str] = field(default_factory=dict)

    @property
    def caught(self) -> bool:
        return self.verdicts[self.seeded.must] == "failed"

    @property
    def smallest(self) -> str:
        """The smallest size from which on every size that was tried is caught."""
        found = None
        for size in sorted(self.verdicts, reverse=True):
            if self.verdicts[size] != "failed":
                break
            found = size
        return "-" if found is None else self.seeded.shown(found) or "caught"


def measure(nursery: Nursery, seeded: Seeded, *, sizes: bool, every_check: bool) -> Row:
    """Try a defect: at the size that must be caught, or at all."""
    row = Row(seeded)
    for size in seeded.sizes if sizes else (seeded.must,):
        result = nursery.judge(seeded, size)
        row.verdicts[size], row.messages[size] = result.verdict, result.message
    if every_check:
        good = nursery.good(seeded.case)
        for check in good.engine.checks_of(good.case):
            if check.name not in COSTS:
                row.others[check.name] = nursery.judge(seeded, seeded.must, check.name).verdict
    return row


def markdown(rows: list[Row]) -> str:
    """The table."""
    heads = ["case", "defect", "check", "must catch", "smallest caught"]
    if any(row.others for row in rows):
        heads.append("also caught by")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        seeded = row.seeded
        others = [name for name, verdict in row.others.items() if verdict == "failed" and name != seeded.check]
        smallest = row.smallest if row.caught else f"**missed** ({row.smallest})"
        cells = [seeded.case, seeded.name, seeded.check, seeded.shown(seeded.must), smallest, ", ".join(others)]
        lines.append(f"| {' | '.join(cells[: len(heads)])} |")
    caught = sum(row.caught for row in rows)
    return "\n".join([*lines, "", f"{caught} of {len(rows)} defects are caught by their check.", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="a glob of rows, e.g. 'captcha*perturbed*'")
    parser.add_argument("--sizes", action="store_true", help="every size, not only the one that must be caught")
    parser.add_argument("--every-check", action="store_true", help="which other checks catch it, too")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where evidence is kept")
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file, not to standard output")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        nursery = Nursery(given.cache, Path(folder))
        try:
            chosen = [seeded for seeded in ALL if fnmatch.fnmatch(seeded.id, given.only)]
            nursery.prefetch(
                (seeded, size, True) for seeded in chosen for size in (seeded.sizes if given.sizes else (seeded.must,))
            )
            for seeded in chosen:
                rows.append(measure(nursery, seeded, sizes=given.sizes, every_check=given.every_check))
                for size, verdict in rows[-1].verdicts.items():
                    said = f"{seeded.id} {seeded.shown(size)}: {verdict}: {rows[-1].messages[size]}"
                    print(said, file=sys.stderr, flush=True)
        finally:
            nursery.close()
    table = markdown(rows)
    if given.output is None:
        print(table)
    else:
        given.output.write_text(table, encoding="utf-8")
    return 0 if all(row.caught for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
