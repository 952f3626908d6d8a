"""How messages of checks say sizes, names and lists."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 4


def size(count: float) -> str:
    """Bytes in the unit that leaves three or four digits, by powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def sample(images: Sequence[str], index: int) -> str:
    """The file name of a sample, or its number where names are not known."""
    return images[index] if index < len(images) else f"sample {index + 1}"
