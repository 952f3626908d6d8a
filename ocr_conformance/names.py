"""Near matches of a mistyped name, for messages of errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that are most like ``name``, the nearest first, at most ``count``; empty names are none."""
    return difflib.get_close_matches(name, sorted(filter(None, known)), n=count, cutoff=0.5)
