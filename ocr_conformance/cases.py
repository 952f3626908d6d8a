"""The case string ``model[:variant]/route/mode@toolchain``: defined here, once."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from ocr_conformance.errors import UserError

MODES = ("float32", "float16", "dynamic-range", "int8", "full-int8", "int16x8")
"""Quantization modes in the order in which tables show them.

``int8`` is 8-bit weights and activations with float fallback and float I/O; ``full-int8`` is integer ops only with
int8 I/O; ``int16x8`` is 16-bit activations and 8-bit weights.
"""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
_CASE = re.compile(
    rf"(?P<model>{_NAME})(:(?P<variant>{_NAME}))?/(?P<route>{_NAME})/(?P<mode>{_NAME})@(?P<toolchain>{_NAME})"
)


def model_id(model: str, variant: str) -> str:
    """``model`` or ``model:variant``."""
    return f"{model}:{variant}" if variant else model


@dataclass(frozen=True, order=True)
class Case:
    """One model x route x mode x toolchain. ``str(case)`` is the key of every record."""

    model: str
    variant: str
    route: str
    mode: str
    toolchain: str

    @property
    def model_id(self) -> str:
        """``model`` or ``model:variant``."""
        return model_id(self.model, self.variant)

    def __str__(self) -> str:
        return f"{self.model_id}/{self.route}/{self.mode}@{self.toolchain}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read a case string.

        Raises:
            UserError: when ``text`` is not of the form ``model[:variant]/route/mode@toolchain``.
        """
        found = _CASE.fullmatch(text)
        if found is None:
            raise UserError(
                f"{text[:200]!r} is no case: expected model[:variant]/route/mode@toolchain, "
                "e.g. keras-ocr/tf-lite/full-int8@modern"
            )
        return cls(found["model"], found["variant"] or "", found["route"], found["mode"], found["toolchain"])


def is_glob(pattern: str) -> bool:
    """Whether `matches` takes a pattern for more than one literal name."""
    return not set("*?[").isdisjoint(pattern)


def matches(name: str, patterns: list[str] | tuple[str, ...]) -> bool:
    """Whether ``name`` matches one of the shell globs (no patterns: everything matches)."""
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
